// test/reference/token_parity.js ENCODING ROWS IDS - ids by npm tiktoken, special tokens in a text being text. Rows end with a NUL;
// of each row IDS gets the number of its ids, then they, as int32. Is run in a folder that has node_modules.
const fs = require("fs");
const tiktoken = require(require.resolve("tiktoken", { paths: [process.cwd()] }));
const [encoding, rowsFile, idsFile] = process.argv.slice(2);
const encoder = tiktoken.get_encoding(encoding);
const data = fs.readFileSync(rowsFile);
const parts = [];
for (let start = 0; start < data.length;) {
    const end = data.indexOf(0, start);
    const ids = encoder.encode(data.toString("utf8", start, end), [], []);
    const part = Buffer.alloc(4 + 4 * ids.length);
    part.writeInt32LE(ids.length, 0);
    ids.forEach((id, i) => part.writeInt32LE(id, 4 + 4 * i));
    parts.push(part);
    start = end + 1;
}
fs.writeFileSync(idsFile, Buffer.concat(parts));
console.log("tiktoken", JSON.parse(fs.readFileSync("node_modules/tiktoken/package.json")).version);
