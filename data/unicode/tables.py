"""Writes data/unicode/tables.inc: what the CLIP tokenizer needs to know about Unicode.

Letters, numbers, white space and lower case are read from the `tokenizers` package (the reference for ids),
canonical composition (NFC) from Python's unicodedata.  Run: python data/unicode/tables.py > data/unicode/tables.inc
"""
import unicodedata

from tokenizers import Regex, normalizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def matching(pattern):
    """The code points that a one-character class of the reference matches (0 and 1 are in none of ours)."""
    mark = normalizers.Replace(Regex(pattern), "\x01")
    found = []
    for start in range(0, len(POINTS), 4096):
        block = [c for c in POINTS[start:start + 4096] if c > 1]
        replaced = mark.normalize_str("\x00".join(chr(c) for c in block)).split("\x00")
        found += [c for c, r in zip(block, replaced, strict=True) if r == "\x01"]
    return found


def ranges(points):
    result = []
    for point in points:
        if result and result[-1][1] == point - 1:
            result[-1][1] = point
        else:
            result.append([point, point])
    return result


def emit(name, type_name, rows):
    print(f"constexpr {type_name} {name}[] = {{")
    line = "   "
    for row in rows:
        item = " {" + ", ".join(f"0x{v:X}" for v in row) + "},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def main():
    print("// Made by data/unicode/tables.py; not edited by hand. Unicode data of tokenizers and of")
    print(f"// unicodedata {unicodedata.unidata_version}.")
    print("// clang-format off")
    for name, pattern in (("kLetters", r"\p{L}"), ("kNumbers", r"\p{N}"), ("kSpaces", r"\s")):
        emit(name, "Range", ranges(matching(pattern)))
    lower = normalizers.Lowercase()
    runs = []  # first, last, stride, shift: alphabets of runs with stride 1 or 2
    for c in POINTS:
        low = lower.normalize_str(chr(c))
        if low == chr(c) or len(low) != 1:
            continue
        shift = ord(low) - c
        last = runs[-1] if runs else None
        if last and last[3] == shift and c - last[1] in (1, 2) and (last[0] == last[1] or last[2] == c - last[1]):
            last[2] = c - last[1]
            last[1] = c
        else:
            runs.append([c, c, 1, shift])
    emit("kLower", "LowerRun", [[a, b, s, d & 0xFFFFFFFF] for a, b, s, d in runs])
    several = [c for c in POINTS if len(lower.normalize_str(chr(c))) > 1]
    assert several == [0x130], several  # written out in unicode.cpp
    emit("kDecompositions", "Decomposition", [
        [c] + [int(v, 16) for v in (unicodedata.decomposition(chr(c)).split() + ["0"])[:2]]
        for c in POINTS
        if unicodedata.decomposition(chr(c)) and not unicodedata.decomposition(chr(c)).startswith("<")])
    classes = []
    for c in POINTS:
        ccc = unicodedata.combining(chr(c))
        # Marks that the reference's older tables do not know stay where they are: U+0334 is not moved before them.
        known = ccc == 1 or normalizers.NFC().normalize_str("a" + chr(c) + "\u0334")[1] == "\u0334"
        if ccc == 0 or (ccc > 1 and not known and unicodedata.normalize("NFC", chr(c)) == chr(c)):
            continue
        if classes and classes[-1][1] == c - 1 and classes[-1][2] == ccc:
            classes[-1][1] = c
        else:
            classes.append([c, c, ccc])
    emit("kCombining", "Combining", classes)
    compositions = []
    for c in POINTS:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(p, 16)) for p in parts)
            if unicodedata.normalize("NFC", pair) == chr(c):
                compositions.append([int(parts[0], 16), int(parts[1], 16), c])
    emit("kCompositions", "Composition", sorted(compositions))
    print("// clang-format on")


main()
