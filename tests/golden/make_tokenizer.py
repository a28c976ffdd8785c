"""A small CLIP vocabulary and what transformers' CLIPTokenizer makes of varied texts, for tests/data_tokenizer_test.cpp.

Made with transformers 5.23:  python tests/golden/make_tokenizer.py
Writes tests/golden/tokenizer/{vocab.json, merges.txt, tokenizer_config.json, cases.json}.

With CLIP's own vocabulary (the file bpe_simple_vocab_16e6.txt.gz inside the PyPI package open_clip_torch), outside
of the repository:  python tests/golden/make_tokenizer.py --vocabulary FILE.gz --out DIR --count 10000
and then:           LAUREL_TOKENIZER_PARITY=DIR data_tests --gtest_filter=Tokenizer.AgreesWithTheFullVocabulary
"""

import argparse
import gzip
import json
import pathlib
import random

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers, Regex
from transformers import CLIPTokenizer

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<|startoftext|>", "<|endoftext|>"]
PIECES = (
    "a photo of cat dog the quick brown fox don't it's we'll they've I'd I'm you're café naïve ﬁne Straße ÀÉÎ İstanbul "
    "ΣΊΣΥΦΟΣ Привет мир 中文 猫 日本語テスト 한국어 각 각 😀 👩‍👩‍👧‍👦 🇩🇪 é ñ ǖ Ⅷ ½ ٣٤ १२ 2048 8k ((cyberpunk:1.2)) "
    "hello_world <|endoftext|> <|ENDOFTEXT|> <|startoftext|> !'s '' -- … “quoted” ‘s ’s \u00a0 \u3000 \t \n &amp; <b> "
    "\u200b \u0085 ọ̣̈ ậ ά Å Ω क़ ﷺ ＡＢＣ a̧̐ ạ̀ 𝔘𝔫𝔦 𐐀 Ǆ ẞ masterpiece, best quality watercolour red circle"
).split(" ")


def texts(count):
    draw = random.Random(0)
    # Scripts, symbols and emoji whose properties did not change between versions of Unicode.
    blocks = [*range(0x20, 0x250), *range(0x370, 0x530), *range(0x905, 0x940), *range(0x1E00, 0x1F00)]
    blocks += [*range(0x3041, 0x3097), *range(0x4E00, 0x4F00), *range(0xAC00, 0xAD00), *range(0x1F300, 0x1F600)]
    blocks += [*range(0x300, 0x345), *range(0x2000, 0x2070), *range(0x1100, 0x1176), *range(0xFF01, 0xFF5F)]
    result = [""] + PIECES
    while len(result) < count:
        if len(result) % 3:
            result.append(draw.choice([" ", "", "  "]).join(draw.choice(PIECES) for _ in range(draw.randint(1, 12))))
        else:
            result.append("".join(chr(draw.choice(blocks)) for _ in range(draw.randint(1, 16))))
    return result


def full_vocabulary(path):
    lines = gzip.open(path).read().decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    points = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(c) for c in points] + [chr(256 + i) for i in range(256 - len(points))]
    vocabulary = symbols + [s + "</w>" for s in symbols] + ["".join(line.split()) for line in lines] + SPECIAL
    return {symbol: i for i, symbol in enumerate(vocabulary)}, lines


def small_vocabulary(corpus):
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(corpus, trainer)
    merges = [" ".join(m) if isinstance(m, list) else m for m in json.loads(tokenizer.to_str())["model"]["merges"]]
    symbols = sorted(alphabet)
    vocabulary = dict.fromkeys(symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in merges] + SPECIAL)
    return {symbol: i for i, symbol in enumerate(vocabulary)}, merges


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocabulary")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "tokenizer")
    parser.add_argument("--count", type=int, default=400)
    options = parser.parse_args()
    cases = texts(options.count)
    vocabulary, merges = full_vocabulary(options.vocabulary) if options.vocabulary else small_vocabulary(cases)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n")
    (options.out / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (options.out / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
    tokenizer = CLIPTokenizer.from_pretrained(options.out)
    rows = [{"text": t, "ids": tokenizer(t, add_special_tokens=False)["input_ids"]} for t in cases]
    padded = tokenizer(cases[:8], padding="max_length", truncation=True)["input_ids"]
    (options.out / "cases.json").write_text(json.dumps({"cases": rows, "padded": padded}) + "\n")


if __name__ == "__main__":
    main()
