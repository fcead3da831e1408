"""test/reference/mixed_text.py BYTES FILE [SEED]

Mixed text of about BYTES bytes, as rows that end with a NUL: words of a dozen scripts, code, JSON, logs, numbers, odd white
space, combining marks, control characters, names of special tokens, code points of all planes, and long runs. A fifth is real
text where the test data is there (GPT_TEST_DATA, else ../shared/data). The same arguments give the same bytes. Used by
test/reference/token_parity.sh.

Code points of planes 0 to 3 and 14 without a character in Python's Unicode are left out: later versions may put letters there,
and one library knows a later version than the other (ICU 72 has 15.0, Hugging Face's library 16.0).
"""
import os
import random
import sys
import unicodedata

WORDS = {
    "en": "the of and to in is was that for it with as his on be at by had not are but from or have an they which one you were"
          " her all there been their we when who will more no if out so said what up its about into than them can only other"
          " time new some could these two may then do first any my now such like our over man me even most made after also"
          " did many before must through back years where much your way well down should because each just those people"
          " don't I'll we've they're it's WASN'T You'd He'S iPhone McDonald NASA eBay PostgreSQL",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass"
          " Straße Größe Fußgänger Übung ähnlich Käse Weiß Mädchen Österreich Grundstücksverkehrsgenehmigungszuständigkeit",
    "fr": "le la les de des un une et à il être avoir que pour dans ce qui ne sur se pas plus par je avec tout faire l'été où ça"
          " déjà œuvre naïve garçon Noël aujourd'hui c'est d'abord qu'il",
    "pl": "się nie na że do jest to jak za po ale zażółć gęślą jaźń źdźbło łódź święty chrząszcz brzmi w trzcinie",
    "vi": "là của và có được trong cho không người với một các Việt Nam tiếng những đã này khi đến từ quốc gia",
    "tr": "bir ve bu için ile çok olarak İstanbul ığdır şey güneş ÇOCUK ÖĞRENCİ değil",
    "ru": "и в не на я быть он с что а по это она этот к но они мы весь который из у то за свой ещё съешь этих мягких французских"
          " булок Москва САНКТ-ПЕТЕРБУРГ объявление",
    "el": "και το να του η της με που για είναι από Ελληνικά γράμματα λέξεις ΑΘΗΝΑ ὕδωρ ᾽Αρχή",
    "he": "של את על לא זה עם הוא שלום עולם ישראל בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "ar": "في من على أن إلى هذا التي كان مع لا ما هو بعد كل مرحبا بالعالم العربية ٱلسَّلَامُ عَلَيْكُمْ كِتَابٌ ﷺ",
    "fa": "این که است را با برای آن یک می‌شود می‌خواهم کتاب‌ها ایران",
    "hi": "के का में की है और से को पर यह नमस्ते दुनिया हिन्दी क्षेत्र श्री विद्यार्थी स्त्री प्रकाश ज़्यादा",
    "bn": "এবং একটি জন্য আমি তুমি বাংলা ভাষা স্বাধীনতা ক্ষুদ্র",
    "ta": "மற்றும் ஒரு இந்த தமிழ் மொழி வணக்கம் ஸ்ரீ க்ஷ",
    "th": "ที่ และ การ เป็น ใน ของ มี ได้ ไม่ ว่า สวัสดีชาวโลก ภาษาไทย น้ำ เขียน กำลัง ผู้ใหญ่ ปัจจุบัน",
    "my": "မြန်မာ ဘာသာ စကား သည် ကို တွင် ဖြစ်သည်",
    "km": "ភាសាខ្មែរ និង ជា នៅ ក្នុង",
    "ka": "და არის საქართველო ენა ᲡᲐᲥᲐᲠᲗᲕᲔᲚᲝ",
    "hy": "և է հայերեն լեզու Երևան",
    "am": "እና ነው አማርኛ ቋንቋ ሰላም",
    "ko": "이 그 는 을 를 에 와 한국어 문장 입니다 안녕하세요 대한민국 사람 것이 있다 하다 값 읽다 닭고기 훑어보다",
    "ja": "の に は を た が で て と し れ さ ある いる も する から な こと として 日本語 東京 カタカナ ひらがな テキスト コンピューター"
          " 々 〆 ヶ月 ｶﾀｶﾅ ﾊﾟﾋﾟ 食べる 私は学生です。 これは「テスト」です！",
    "zh": "的 一 是 在 不 了 有 和 人 这 中 大 为 上 个 国 我 以 要 他 时 来 用 们 生 到 作 地 于 出 就 分 对 成 会 可 主 发 年 动 中华人民共和国"
          " 床前明月光 疑是地上霜 举头望明月 低头思故乡 繁體中文 數據庫 人工智能 ，。 “你好！” ……",
}
SPACES = [" ", "  ", "   ", "        ", "\t", "\t\t", "\n", "\r\n", "\r", "\n\n", "\n\n\n", " \n", "\n ", " \t ", "\u00a0", "\u3000",
          "\u2003", "\u2009", "\u2028", "\u2029", "\u0085", "\u000b", "\u000c", "\u1680", "\u202f", "\u205f", "\ufeff", "\u200b",
          "\u180e", "\u2060", " " * 17, " " * 90, "\n" * 12, "▁", "▁▁", " ▁", "\x1c", "\x1f"]
SIGNS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "!?", "--", "->", "=>", "==", "!=", "&&", "//", "/*", "*/", "://",
         "§", "€", "£", "¥", "°", "±", "×", "÷", "«", "»", "“", "”", "‘", "’", "–", "—", "…", "•", "†", "™", "©", "、", "。", "！",
         "？", "「", "」", "，", "：", "；", "（", "）", "～", "∑", "√", "∞", "≈", "→", "⇒", "█", "░", "─", "│", "'S", "'ſ", "'ll", "'VE",
         "’s", "'RE", "'m", "'D", "'", "''", "/\n", "/\r\n/", "·", "ـ"]
NUMBERS = ["0", "1", "12", "123", "1234", "12345", "123456", "1234567", "3.14159", "-1e-9", "0xDEADBEEF", "1,000,000", "٣٤٥", "۱۲۳",
           "१२३", "๑๒๓", "①②③", "Ⅷ", "ⅷ", "½", "¾", "²³", "₁₂", "𝟏𝟐𝟑", "𝟘", "１２３", "〇", "一二三", "㊿", "🄀", "2026-11-29", "12:34:56",
           "192.168.0.1", "+49 (0)30 123456", "௧௨", "༡༢", "৪", "ↂ"]
EMOJI = ["😀", "👍", "👍🏽", "👩‍👩‍👧‍👦", "👨🏿‍🚀", "🏳️‍🌈", "🇩🇪", "🇯🇵🇨🇳", "❤️", "❤", "☃︎", "1️⃣", "#️⃣", "🧑‍💻", "🫠", "🤷🏻‍♀️", "\u200d", "\ufe0f",
         "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "©️", "™", "😂😂😂", "🔥" * 5]
NAMES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "<0x0A>", "<0xE4>",
         "<start_of_turn>", "<end_of_turn>", "<|begin_of_text|>", "<|eot_id|>", "<|fim_prefix|>", "<｜begin▁of▁sentence｜>",
         "<｜User｜>", "<think>", "</think>", "<tool_call>", "<|reserved_special_token_0|>", "<mask>", "[INST]", "[/INST]",
         "<unused0>", "<h1>", "</h1>", "<table>", "<strong>", "<|end", "oftext|>", "<｜▁pad▁｜>", "<2mass>", "[@BOS@]"]
BLOCKS = [(0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F),
          (0x590, 0x5FF), (0x600, 0x6FF), (0x700, 0x7BF), (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xAFF), (0xB80, 0xBFF),
          (0xD00, 0xD7F), (0xE00, 0xE7F), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F),
          (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1800, 0x18AF), (0x1C80, 0x1CBF), (0x1D00, 0x1DBF), (0x1E00, 0x1EFF),
          (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20CF), (0x20D0, 0x20FF), (0x2100, 0x218F), (0x2190, 0x22FF),
          (0x2460, 0x24FF), (0x2500, 0x27BF), (0x2C00, 0x2C5F), (0x3000, 0x303F), (0x3040, 0x309F), (0x30A0, 0x30FF),
          (0x3100, 0x31FF), (0x3200, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA48F), (0xA640, 0xA69F),
          (0xA720, 0xA7FF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFE6F), (0xFF00, 0xFFEF),
          (0x10000, 0x100FF), (0x10330, 0x1034F), (0x10400, 0x1044F), (0x10800, 0x1091F), (0x12000, 0x123FF), (0x13000, 0x1342F),
          (0x1D100, 0x1D1FF), (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F), (0x1EE00, 0x1EEFF), (0x1F100, 0x1F1FF), (0x1F300, 0x1FAFF),
          (0x20000, 0x2A6DF), (0x2F800, 0x2FA1F), (0xE0000, 0xE01EF)]
CODE = ["def {0}({1}, {2}):\n    return {1} + {2}\n\n\n", "for (int {1} = 0; {1} < {3}; {1}++)\n\t{{\n\t\t{0}[{1}] = {2};\n\t}}\n",
        "SELECT {0}, count(*) FROM {1} WHERE {2} > {3} GROUP BY 1;\n", "#include <{0}.h>\n\nstatic const char *{1} = \"{2}\\n\";\n",
        "<div class=\"{0}\" id='{1}'>\n  <a href=\"https://{1}.org/{2}?q={3}&x=%20\">{0}</a>\n</div>\n", "let {0} = {1}.map(|{2}| {2} * {3});\n",
        "# {0}\n\n- **{1}**: `{2}`\n- [{0}](http://{1}.de/{3})\n\n```\n{2}\n```\n", "\t\tif ({0} != {1} && !{2})\r\n\t\t\treturn {3};\r\n",
        "{0}_{1}.{2}({3});//{0}\n", "$ {0} --{1}={2} -{0} | grep '{1}' > /tmp/{2}.{3}\n", "{0}::{1}<{2}>({3}ULL) // {0}'s\n"]


def assigned(code):
    return 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) != "Cn"


BLOCK_LETTERS = [[chr(c) for c in range(a, b + 1) if assigned(c)] for a, b in BLOCKS]
MARKS = [chr(c) for c in range(0x300, 0x11000) if unicodedata.category(chr(c))[0] == "M"]
LANGUAGES = {name: words.split(" ") for name, words in WORDS.items()}


class Maker:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.real = list(real_texts())
        self.kinds = [(self.prose, 30), (self.code, 8), (self.json, 5), (self.log, 5), (self.numbers, 4), (self.spaces, 6),
                      (self.marks, 4), (self.controls, 2), (self.block, 10), (self.any, 4), (self.emoji, 4), (self.names, 3),
                      (self.soup, 14), (self.quote, 18 if self.real else 0), (self.run, 1)]

    def row(self):
        make = self.rng.choices([k for k, _ in self.kinds], [w for _, w in self.kinds])[0]
        return make().replace("\0", " ")

    def word(self):
        return self.rng.choice(LANGUAGES[self.rng.choice(list(LANGUAGES))])

    def name(self):
        word = "".join(self.rng.choice("aeiouxyzklmnprst") for _ in range(self.rng.randint(1, 8)))
        return self.rng.choice([word, word.title(), word.upper(), word + "_" + word[::-1], word + word.title(), word + "1"])

    def prose(self):
        words = LANGUAGES[self.rng.choice(list(LANGUAGES))]
        joined = self.rng.choice([" ", " ", " ", ""])
        out = []
        for _ in range(self.rng.randint(1, 120)):
            out.append(self.rng.choice(words))
            kind = self.rng.random()
            out.append(joined if kind < 0.85 else self.rng.choice([", ", ". ", "! ", "? ", ": ", "; ", " – ", ".\n", "。", "、", "\n"]))
        return "".join(out)

    def code(self):
        return "".join(self.rng.choice(CODE).format(self.name(), self.name(), self.name(), self.rng.randint(0, 10 ** 6))
                       for _ in range(self.rng.randint(1, 8)))

    def json(self):
        fields = ", ".join('"%s": %s' % (self.name(), self.rng.choice(['"%s"' % self.word(), '"\\u00e9\\n"', "null", "[1, 2]", "true", "{}",
                           str(self.rng.random())])) for _ in range(self.rng.randint(1, 12)))
        return "{" + fields + "}"

    def log(self):
        return "".join("2026-11-%02d %02d:%02d:%02d.%03d UTC [%d] %s:  %s=%d in %s.c:%d 0x%08x\n" % (
            self.rng.randint(1, 30), self.rng.randint(0, 23), self.rng.randint(0, 59), self.rng.randint(0, 59), self.rng.randint(0, 999),
            self.rng.randint(1, 99999), self.rng.choice(["LOG", "ERROR", "WARNING", "FATAL"]), self.name(), self.rng.randint(0, 10 ** 9),
            self.name(), self.rng.randint(1, 999), self.rng.getrandbits(32)) for _ in range(self.rng.randint(1, 6)))

    def numbers(self):
        return "".join(self.rng.choice(NUMBERS + [str(self.rng.getrandbits(self.rng.randint(1, 70)))]) + self.rng.choice(["", "", " ", ", ", "\n"])
                       for _ in range(self.rng.randint(1, 40)))

    def spaces(self):
        return "".join(self.rng.choice(SPACES) + self.rng.choice(["", "", self.word(), self.rng.choice(SIGNS), self.rng.choice(NUMBERS)])
                       for _ in range(self.rng.randint(1, 30)))

    def marks(self):
        return "".join(self.rng.choice(self.rng.choice(BLOCK_LETTERS)) + "".join(self.rng.choice(MARKS) for _ in range(self.rng.randint(0, 5)))
                       for _ in range(self.rng.randint(1, 60)))

    def controls(self):
        return "".join(chr(self.rng.choice([self.rng.randint(1, 31), self.rng.randint(0x7F, 0x9F), 0xFEFF, 0xFFFD, 0xFFFF, 0xFFFE, 0xAD, 0x200B,
                       0x200E, 0x202E, 0x2066])) + self.rng.choice(["", "a", " ", "B1"]) for _ in range(self.rng.randint(1, 40)))

    def block(self):
        letters = self.rng.choice(BLOCK_LETTERS)
        return "".join(self.rng.choice([" ", "", "", "", "", "", ""]) + self.rng.choice(letters) for _ in range(self.rng.randint(1, 80)))

    def any(self):
        codes = (self.rng.choice([self.rng.randrange(1, 0x3000), self.rng.randrange(1, 0x20000), self.rng.randrange(1, 0x110000)])
                 for _ in range(self.rng.randint(1, 60)))
        return "".join(chr(c) for c in codes if assigned(c) or 0x40000 <= c < 0xE0000)

    def emoji(self):
        return "".join(self.rng.choice(EMOJI) + self.rng.choice(["", "", " ", self.word()]) for _ in range(self.rng.randint(1, 30)))

    def names(self):
        return "".join(self.rng.choice(["", " ", self.word(), "\n"]) + self.rng.choice(NAMES) for _ in range(self.rng.randint(1, 10)))

    def soup(self):
        pick = [self.word, self.name, lambda: self.rng.choice(SIGNS), lambda: self.rng.choice(SPACES), lambda: self.rng.choice(NUMBERS),
                lambda: self.rng.choice(EMOJI), lambda: self.rng.choice(self.rng.choice(BLOCK_LETTERS)), lambda: " "]
        return "".join(self.rng.choice(pick)() for _ in range(self.rng.randint(1, 80)))

    def quote(self):
        text = self.rng.choice(self.real)
        start = self.rng.randrange(len(text))
        return text[start:start + self.rng.randint(1, 500)]

    def run(self):
        part = self.rng.choice(["a", "Ab", " ", "\n", "中", "ที่", "0", "!", "=", "-", "é", "e\u0301", "😀", "\t", "한", "' ", "ß", "م", "\u0301"])
        return part * self.rng.randint(1, 600)


def real_texts():
    folder = os.environ.get("GPT_TEST_DATA", os.path.join(os.path.dirname(__file__), "../../../shared/data"))
    for name in ["corpora/tinyshakespeare.txt", "corpora/wikitext2.valid.txt", "corpora/tang_poems_2000.txt", "corpora/war-and-peace.txt",
                 "classify/waimai_zh.train.csv", "classify/sms_spam.train.csv", "logs/BGL_2k.log", "logs/Apache_2k.log", "db/chinook.sql",
                 "golden/tokens.json"]:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8", newline="") as file:
                yield file.read()


def main():
    size, path = int(sys.argv[1]), sys.argv[2]
    maker = Maker(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    written = 0
    with open(path, "wb") as file:
        while written < size:
            row = maker.row().encode("utf-8")
            file.write(row + b"\0")
            written += len(row)


if __name__ == "__main__":
    main()
