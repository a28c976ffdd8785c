"""A small SentencePiece unigram model of T5's kind and the ids of transformers' T5Tokenizer, for
tests/data/text/unigram_tokenizer_test.cpp.

Made with sentencepiece 0.2.3, tokenizers 0.23.3 and transformers 5.23:  python tests/golden/make/make_unigram.py
Writes tests/golden/unigram/{spiece.model, tokenizer.json, ids.json}. A number as argument: that many random texts.
"""

import json
import pathlib
import random
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from transformers import T5Tokenizer

HERE = pathlib.Path(__file__).resolve().parents[1] / "unigram"
WORDS = """a an the of on in and red green blue yellow large small circle square triangle star photo painting drawing
portrait dog cat horse house tree river mountain city street night morning sunlight shadow oil watercolour detailed
beautiful old young man woman child standing sitting running behind under above between two three four café naïve
résumé Straße größer привет мир 日本 語 中国 猫 한국 어 ελλάδα coöperate fine flow office""".split()
TEXTS = [
    "", " ", "a red circle", "  a   red  circle ", "A Red CIRCLE", "a photo of a café, détaillé", "cafe\u0301",
    "\ufb01ne \ufb02ow o\ufb03ce", "\uff21\uff22\uff23 \uff11\uff12", "\u212b \u2126 \u00bd", "e\u0301\u0302x",
    "\u1112\u1161\u11ab\u1100\u1173\u11af", "\ud55c\uad6d", "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a\u00a0b", "a\u200bb", "\ufeffa", "a\u0000b", "a\u2028b\u2029c", "a\u0085b", "tab\tand\nline\r\nend",
    "\u2581a \u2581 b\u2581c", "xyzzy qqq", "\u4e2d\u56fd\u732b", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "</s> a", "a <pad> b<unk>", "<extra_id_0> and <extra_id_99>", "< /s> <extra_id_100>", "\u0600a \u00a9\u200d",
    "1/2 - 3.5% (oil:1.2) [on] \"quoted\" it's",
]


def train():
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(4000)]
    with tempfile.TemporaryDirectory() as folder:
        corpus = pathlib.Path(folder) / "corpus.txt"
        corpus.write_text("\n".join(lines))
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=folder + "/spiece", vocab_size=120, model_type="unigram", pad_id=0,
            eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc", num_threads=1)
        return (pathlib.Path(folder) / "spiece.model").read_bytes()


def add_characters(proto):
    """Pieces of single characters, so that ids tell how a text was normalised."""
    known = {piece.piece for piece in proto.pieces}
    for first, last in ((0x21, 0x7e), (0xa1, 0x24f), (0x300, 0x36f), (0x600, 0x6ff), (0x900, 0x97f), (0x1100, 0x11ff),
                        (0x200b, 0x200f), (0x3041, 0x30ff), (0xac00, 0xac7f)):
        for point in range(first, last + 1):
            if chr(point) not in known:
                proto.pieces.add(piece=chr(point), score=-12 - point % 7)


def random_text(rng):
    """Any characters, more of them where normalisation does something."""
    def character():
        kind = rng.random()
        if kind < 0.3:
            return rng.choice("abcdeo rst,.<>/_")
        if kind < 0.5:
            return chr(rng.randint(0x300, 0x36f)) if rng.random() < 0.5 else chr(rng.randint(0xa0, 0x24f))
        if kind < 0.7:
            blocks = ((0x1100, 0x11ff), (0x3040, 0x30ff), (0xac00, 0xac7f), (0x600, 0x6ff), (0x900, 0x97f),
                      (0xff00, 0xffef))
            return chr(rng.randint(*rng.choice(blocks)))
        if kind < 0.8:
            return rng.choice("\u200d\u200c\ufe0f\u00ad\u2581\u0000\r\n\u3000\U0001f1e6\U0001f1e7\U0001f468\u00a9")
        while True:
            point = rng.randint(1, 0x2ffff)
            if not 0xd800 <= point <= 0xdfff:
                return chr(point)
    return "".join(character() for _ in range(rng.randint(1, 12)))


def main():
    HERE.mkdir(exist_ok=True)
    proto = sentencepiece_model_pb2.ModelProto.FromString(train())
    add_characters(proto)
    (HERE / "spiece.model").write_bytes(proto.SerializeToString())
    vocab = [(piece.piece, piece.score) for piece in proto.pieces]
    vocab += [(f"<extra_id_{i}>", 0.0) for i in range(99, -1, -1)]
    tokenizer = T5Tokenizer(vocab=vocab, _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap)
    tokenizer._tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    rng, count = random.Random(1), int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rows = [[text, tokenizer(text).input_ids] for text in TEXTS]
    rows += [[text, tokenizer(text).input_ids] for text in (random_text(rng) for _ in range(count))]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (HERE / "ids.json").write_text(f"[\n{lines}\n]\n")
    print(len(TEXTS), len(rows))


if __name__ == "__main__":
    main()
