"""models/clip-tokenizer/{vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json}: the vocabulary of
OpenAI's CLIP, which single-file checkpoints of Stable Diffusion leave out, in Hugging Face's files.

Made with open_clip 3.3, which holds bpe_simple_vocab_16e6.txt.gz of OpenAI's CLIP (MIT):
python tests/golden/make/make_clip_tokenizer.py
"""

import gzip
import json
import pathlib

import open_clip

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "models" / "clip-tokenizer"
MERGES = 49152 - 256 - 2  # the file holds more lines than CLIP uses
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def byte_symbols():
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(256 - len(kept))]


def main():
    source = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    merges = gzip.open(source, "rt", encoding="utf-8").read().split("\n")[1:MERGES + 1]
    symbols = byte_symbols()
    vocabulary = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in merges] + [BOS, EOS]
    assert len(vocabulary) == len(set(vocabulary)) == 49408
    special = dict(bos_token=BOS, eos_token=EOS, pad_token=EOS, unk_token=EOS)
    config = dict(tokenizer_class="CLIPTokenizer", model_max_length=77, add_prefix_space=False, do_lower_case=True,
                  errors="replace", **special)
    FOLDER.mkdir(exist_ok=True)
    ids = {symbol: i for i, symbol in enumerate(vocabulary)}
    (FOLDER / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False, separators=(",", ":")) + "\n")
    (FOLDER / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (FOLDER / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
