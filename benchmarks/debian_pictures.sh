#!/usr/bin/env bash
# Real pictures with captions from a Debian package, which is fetched by its name. Nothing of it is part of this repository.
#   benchmarks/debian_pictures.sh tuxpaint-stamps-default|openclipart-png FOLDER [LONGEST]
# Writes FOLDER/NAME.png and, where there is a caption, NAME.txt; nothing where FOLDER exists. The package is unpacked into
# PACKAGE/ beside it. Pictures lie on white (their transparent pixels have any colour, which laurel would show) and are shrunk
# to LONGEST pixels a side. Captions: of stamps the first line of NAME.txt (the others are translations), of clip art the
# PNG's Title where no other picture has it (others are names of collections); clip art without one is left out.
# Needs apt-get and dpkg; python3-pil is installed where it is missing.
set -euo pipefail
[ $# -ge 2 ] && [ $# -le 3 ] && [[ "$1" != -* ]] || { sed -n '2,9s/^# \?//p' "$0" >&2; exit 2; }
package=$1
out=$(realpath -m "$2")
longest=${3:-0}
[ -d "$out" ] && exit 0
mkdir -p "$(dirname "$out")"
cd "$(dirname "$out")"
if [ ! -d "$package" ]; then
  apt-get download -qq "$package"
  dpkg -x "${package}"_*.deb "$package.part"
  mv "$package.part" "$package"
  rm "${package}"_*.deb
fi
/usr/bin/python3 -c 'import PIL' 2>/dev/null || apt-get install -y -qq --no-install-recommends python3-pil > /dev/null
rm -rf "$out.part"
/usr/bin/python3 - "$package" "$out" "$longest" <<'PYTHON'
import collections, os, pathlib, sys
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
MOST_PIXELS = 1 << 24
package, out, longest = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
stamps = package.name.startswith("tuxpaint")
top = package / ("usr/share/tuxpaint/stamps" if stamps else "usr/share/openclipart/png")
part = pathlib.Path(f"{out}.part")
part.mkdir()

def caption_of(file):
    text = file.with_suffix(".txt")
    if stamps:
        return text.read_text(errors="replace").splitlines()[0].strip() if text.exists() else ""
    with Image.open(file) as image:
        return image.info.get("Title", "").strip() if image.width * image.height <= MOST_PIXELS else ""

captions = {file: caption_of(file) for file in sorted(top.rglob("*.png"))}
uses = collections.Counter(captions.values())
for file, caption in captions.items():
    if not stamps and (not caption or uses[caption] > 1):
        continue
    name = "-".join(file.relative_to(top).with_suffix("").parts)
    image = Image.open(file).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    if longest:
        white.thumbnail((longest, longest))
    white.convert("RGB").save(part / f"{name}.png")
    if caption:
        (part / f"{name}.txt").write_text(caption + "\n")
os.rename(part, out)
PYTHON
