"""What AUTOMATIC1111's web UI makes of prompts with weights, for tests/diffusion/text/prompt_weighting_test.cpp.

Runs the web UI's own files, which are not part of this repository (AGPL); clone it and name its folder:
    python tests/golden/make/make_prompts.py --webui stable-diffusion-webui
Writes tests/golden/prompts.json (pieces and chunks) and prompts.safetensors (rows of tests/golden/pipeline's text
encoder, whose chunks are of 30 tokens).

Made with transformers 5.23 and, of sd_hijack_clip.py at
00e0938, sd_emphasis.py and prompt_parser.py of its time: parse_prompt_attention, tokenize_line, process_tokens, EmphasisOriginal.
"""

import argparse
import json
import pathlib
import random
import sys
import types

import torch
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parents[1]
PIPELINE = HERE / "pipeline"
HIDDEN = ["a (red:1.3) [circle]", "a red circle BREAK (blue:0.2) square", "a red circle, " * 12 + "(a big blue square:1.5)"]


def prompts():
    """Written cases, then strings of the parser's own alphabet."""
    cases = [
        "normal text", "an (important) word", "(unbalanced", "[unbalanced", "\\(literal\\]", "(unnecessary)(parens)",
        "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "a (b:x) c", "(a:x)", "closing) and ] alone", "a:1.2)",
        "(a : 1.3 )", "(a:-.5)", "(a:+2)", "", "()", "[]", "(:1.2)", "\\\\ \\x \\", "a BREAK b", "BREAK a", "a BREAK", "BREAK",
        "a BREAK BREAK b", "(a BREAK b:1.2)", "BREAKfast, aBREAK", "(a) (b) [c] [(d:2)]", "one, two (three, four:1.4), [five]",
        ", ".join(f"word{i}" for i in range(40)), " ".join("red" for _ in range(70)), "red, " * 90, "é (中:1.2) ، 😀",
        "a <|endoftext|> b", "a,b," * 45 + "BREAK, c", "((a:1.1):1.1)", "(a:1.)(b:.9)", "(a\n:1.2)\tb", "a (b:1.2", "BREAK，a 中BREAK", "ANDY [a:b] (c|d)",
    ]  # fmt: skip
    draw = random.Random(3)
    alphabet = ["(", ")", "[", "]", ":1.3)", ":", "\\", " ", ",", "red", "blue circle", "(big:0.7)", " BREAK ", "1.2", "x"]
    cases += ["".join(draw.choice(alphabet) for _ in range(draw.randint(1, 30))) for _ in range(160)]
    cases += [" ".join(draw.choice(["red", "a", "circle,", "blue", "(square:1.2),", "of"]) for _ in range(draw.randint(20, 120))) for _ in range(24)]
    return cases


def webui(folder):
    """The web UI's chunker and parser with the rest of it left out."""
    sys.path.insert(0, str(folder))
    grammar = types.ModuleType("lark")  # of prompt editing, which is not tested here
    grammar.Lark = lambda *_, **__: None
    grammar.Visitor = grammar.Transformer = object
    sys.modules.setdefault("lark", grammar)
    options = types.SimpleNamespace(emphasis="Original", comma_padding_backtrack=20)
    for name, content in {
        "devices": {"device": "cpu"},
        "sd_hijack": {"StableDiffusionModelHijack": object},
        "shared": {"opts": options},
    }.items():
        module = types.ModuleType(f"modules.{name}")
        module.__dict__.update(content)
        sys.modules[f"modules.{name}"] = module
    import modules

    for name in ("devices", "sd_hijack", "shared"):
        setattr(modules, name, sys.modules[f"modules.{name}"])
    from modules import prompt_parser, sd_hijack_clip

    return prompt_parser, sd_hijack_clip


def encoder_of(clip, chunk_length, pad_token):
    tokenizer = CLIPTokenizer.from_pretrained(PIPELINE / "tokenizer")
    model = CLIPTextModel.from_pretrained(PIPELINE / "text_encoder", dtype=torch.float32).eval()

    class Encoder(clip.FrozenCLIPEmbedderWithCustomWordsBase):
        def tokenize(self, texts):
            return tokenizer(texts, truncation=False, add_special_tokens=False)["input_ids"]

        def encode_with_transformers(self, tokens):
            return model(input_ids=tokens).last_hidden_state

    nothing = types.SimpleNamespace(find_embedding_at_position=lambda *_: (None, None))
    encoder = Encoder(None, types.SimpleNamespace(embedding_db=nothing))
    encoder.chunk_length = chunk_length
    vocabulary = tokenizer.get_vocab()
    encoder.comma_token = vocabulary[",</w>"]
    encoder.id_start, encoder.id_end = tokenizer.bos_token_id, tokenizer.eos_token_id
    encoder.id_pad = vocabulary[pad_token]
    return encoder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--webui", required=True)
    options = parser.parse_args()
    prompt_parser, clip = webui(options.webui)
    encoder = encoder_of(clip, 30, "<|endoftext|>")
    rows = []
    for prompt in prompts():
        try:
            pieces = prompt_parser.parse_prompt_attention(prompt)
        except ValueError:  # a weight that is no number, such as 1.3.1.2
            continue
        chunks, _ = encoder.tokenize_line(prompt)
        rows.append({"prompt": prompt, "pieces": pieces, "chunks": [[c.tokens, c.multipliers] for c in chunks]})
    (HERE / "prompts.json").write_text(json.dumps(rows, separators=(",", ":")) + "\n")
    tensors = {}
    with torch.no_grad():
        for i, prompt in enumerate(HIDDEN):
            for pad in ("<|endoftext|>", "!"):
                encoder.id_pad = encoder_of(clip, 30, pad).id_pad
                chunks, _ = encoder.tokenize_line(prompt)
                z = [encoder.process_tokens([c.tokens], [c.multipliers]) for c in chunks]
                tensors[f"{i}.{'end' if pad != '!' else 'other'}"] = torch.hstack(z).contiguous()
    save_file(tensors, HERE / "prompts.safetensors", metadata={str(i): text for i, text in enumerate(HIDDEN)})


if __name__ == "__main__":
    main()
