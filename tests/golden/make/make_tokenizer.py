"""What transformers' CLIPTokenizer makes of varied texts, for tests/data/text/clip_tokenizer_test.cpp.

Made with transformers 5.23:  python tests/golden/make/make_tokenizer.py
Writes tests/golden/tokenizer/: a small vocabulary and its cases.json; variants.json, the same vocabulary with the
settings that people's folders hold; clip_cases.json, ids of CLIP's own vocabulary (models/clip-tokenizer).

10,000 texts with CLIP's own vocabulary, compared with laurel's ids:
    python tests/golden/make/make_tokenizer.py --check 10000 --tests build/release/tests/data_tests
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unicodedata

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers, Regex
from transformers import CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parents[1]
CLIP = HERE.parents[1] / "models" / "clip-tokenizer"
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


def hard_text(draw, i):
    """One of nine kinds of text that tokenizers disagree about."""
    assigned = lambda low, high: [chr(c) for c in range(low, high) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    kinds = hard_text.kinds = getattr(hard_text, "kinds", None) or {
        "emoji": assigned(0x1F300, 0x1FA00) + ["\u200d", "\ufe0f", "\U0001f3fb", "\U0001f3ff", "\u20e3", "1", "#"],
        "cjk": assigned(0x3040, 0x3100) + assigned(0x4E00, 0x9FF0) + assigned(0xAC00, 0xD7A4) + ["\u3000", "\u3002"],
        "control": [chr(c) for c in [*range(0x20), *range(0x7F, 0xA0), 0x200B, 0x200E, 0x202E, 0x2028, 0x2060, 0xFEFF]]
        + list("ab 1,"),
        "marks": assigned(0x300, 0x370) + list("aeiouAEINOzZ ") + ["\u0345", "\u1ab0", "\u20d7", "\u0e33", "\u093c"],
        "planes": assigned(0x100, 0x3000) + assigned(0xA000, 0xAC00) + assigned(0xF900, 0x10000) + assigned(0x10000, 0x12000),
    }
    words = ["photo", "Portrait", "of", "a", "the", "4K", "don't", "O'Neil's", "art,", "style:", "(best", "quality:1.2)"]
    entities = ["&amp;", "&lt;", "&#39;", "&#x1F600;", "&amp;amp;", "&nbsp;", "&quot;x&quot;", "&eacute;", "a&b", "&", "&;"]
    which = i % 9
    if which < 5:
        letters = kinds[list(kinds)[which]]
        return "".join(draw.choice(letters) for _ in range(draw.randint(1, 40)))
    if which == 5:
        return " ".join(draw.choice(entities + words) for _ in range(draw.randint(1, 20)))
    if which == 6:
        return draw.choice([" ", "\n", " , ", ""]).join(draw.choice(words + PIECES) for _ in range(draw.randint(60, 400)))
    if which == 7:  # one word without an end
        return "".join(draw.choice("abcdeéЖ中") for _ in range(draw.randint(100, 2000) if i > 7 else 20000))
    return "".join(chr(draw.randint(32, 126)) for _ in range(draw.randint(1, 80)))


def hard_texts(count):
    """`count` different texts: half as `texts` draws them, the rest of the hard kinds."""
    draw = random.Random(1)
    result = dict.fromkeys(texts(count // 2))
    for i in range(10 * count):
        if len(result) < count:
            result[hard_text(draw, i)] = None
    return list(result)


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


def token(content, normalized, **more):
    fields = {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}
    return {**fields, **more}


def variants(end):
    """Settings as they lie beside vocab.json in people's folders. `end`: the id of <|endoftext|>."""
    start_text, end_text = SPECIAL
    typed = {"__type": "AddedToken"}
    old = {"bos_token": token(start_text, True), "eos_token": token(end_text, True), "unk_token": token(end_text, True)}
    old_config = {key: {**value, **typed} for key, value in old.items()}
    listed = {"0": token("!", False, special=True)}
    listed |= {str(end - 1): token(start_text, True, special=True), str(end): token(end_text, True, special=True)}
    return {
        "stable-diffusion-1": {
            "special_tokens_map.json": {**old, "pad_token": end_text},
            "tokenizer_config.json": {**old_config, "pad_token": end_text, "model_max_length": 77},
        },
        "sdxl-second": {
            "special_tokens_map.json": {**old, "pad_token": "!"},
            "tokenizer_config.json": {**old_config, "pad_token": "!", "model_max_length": 77},
        },
        "sdxl-second-newer": {
            "special_tokens_map.json": {**old, "pad_token": "<none>"},
            "tokenizer_config.json": {"added_tokens_decoder": listed, "pad_token": "!", "model_max_length": 77},
        },
        "map-over-config": {
            "special_tokens_map.json": {"pad_token": "!"},
            "tokenizer_config.json": {"pad_token": end_text, "model_max_length": 12},
        },
        "textual-inversion": {
            "added_tokens.json": {"<cat-toy>": end + 1, "my  Toy": end + 2, "<cat": end + 3},
            "tokenizer_config.json": {"model_max_length": 77},
        },
    }


def settle(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(HERE / "tokenizer" / name, folder)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def cases_of(tokenizer, cases):
    rows = [{"text": t, "ids": tokenizer(t, add_special_tokens=False)["input_ids"]} for t in cases]
    return {"cases": rows, "padded": tokenizer(cases[:8], padding="max_length", truncation=True)["input_ids"]}


def variant_cases(end):
    cases = ["a cat! wow!!", "a <|STARTOFTEXT|> b", "a<|EndOfText|>b", "x<|endoftext|>y <|startoftext|> z", "hello ! you",
             "a <cat-toy> b<Cat-Toy>c", "My\tTOY and my toy", "<cat-", "!", "<|endoftext|>'s", "é!e\u0301 <cat-to"]
    result = []
    for name, files in variants(end).items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            settle(folder / "slow", files)
            tokenizer = CLIPTokenizer.from_pretrained(folder / "slow")
            row = {"name": name, "files": files, **cases_of(tokenizer, cases)}
            # tokenizer.json beside the same settings, its vocabulary left out here: it is vocab.json's.
            tokenizer.save_pretrained(folder / "fast")
            fast = json.loads((folder / "fast" / "tokenizer.json").read_text())
            fast["model"] |= {"vocab": {}, "merges": []}
            config = json.loads((folder / "fast" / "tokenizer_config.json").read_text())
            row["fast"] = {"tokenizer.json": fast, "tokenizer_config.json": config}
            assert cases_of(CLIPTokenizer.from_pretrained(folder / "fast"), cases)["cases"] == row["cases"]
            result.append(row)
    return result


def make():
    out = HERE / "tokenizer"
    cases = texts(400)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "vocab.json").exists():  # the trainer breaks ties another way each time
        vocabulary, merges = small_vocabulary(cases)
        (out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n")
        (out / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    vocabulary = json.loads((out / "vocab.json").read_text())
    (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}) + "\n")
    dump(out / "cases.json", cases_of(CLIPTokenizer.from_pretrained(out), cases))
    dump(out / "variants.json", variant_cases(vocabulary["<|endoftext|>"]))
    short = [text for text in hard_texts(900) if len(text) < 400]
    dump(out / "clip_cases.json", cases_of(CLIPTokenizer.from_pretrained(CLIP), short))


def check(count, tests):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copy(CLIP / name, folder)
        cases = hard_texts(count)
        dump(pathlib.Path(folder) / "cases.json", cases_of(CLIPTokenizer.from_pretrained(folder), cases))
        print(f"{len(cases)} texts, {len(set(cases))} different, the longest of {max(map(len, cases))} characters")
        command = [tests, "--gtest_filter=TokenizerParity.*"]
        return subprocess.run(command, env={**os.environ, "LAUREL_TOKENIZER_PARITY": folder}).returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", type=int, metavar="COUNT")
    parser.add_argument("--tests", default=HERE.parents[1] / "build/release/tests/data_tests")
    options = parser.parse_args()
    if options.check:
        sys.exit(check(options.check, options.tests))
    make()


if __name__ == "__main__":
    main()
