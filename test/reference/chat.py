"""test/reference/chat.py

Prints the rows of table "known" in test/tap/chat.sql: two conversations as Transformers writes them by the chat
templates of models. The templates are those that the models ship; give each as WORD=FILE, where WORD is the name that
src/core/chat_known.c has, and FILE a tokenizer_config.json or a template in Jinja.

    python3 test/reference/chat.py qwen3=Qwen3-0.6B/tokenizer_config.json gemma=gemma-3-1b-it/chat_template.jinja ...
"""
import json
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template as compile_template

QUESTION = [{"role": "user", "content": "Hello"}]
CONVERSATION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Who?"}]


def template_of(file):
    """The template in a file; of several, the one that is called default."""
    with open(file, encoding="utf-8") as text:
        text = text.read()
    if not file.endswith(".json"):
        return text
    found = json.loads(text)["chat_template"]
    if isinstance(found, str):
        return found
    return next(one["template"] for one in found if one["name"] == "default")


def literal(text):
    """A text as an SQL literal on one line."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n") + "'"


def main():
    rows = []
    for argument in sys.argv[1:]:
        word, file = argument.split("=", 1)
        template = compile_template(template_of(file))
        texts = [template.render(messages=messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=True,
                                 enable_thinking=False) for messages in (QUESTION, CONVERSATION)]
        rows.append(f"\t('{word}', {literal(texts[0])},\n\t\t{literal(texts[1])})")
    print(",\n".join(rows) + ";")


if __name__ == "__main__":
    main()
