"""Small images of the kinds that folders hold, and their pixels as Pillow reads them, for tests/data/images/image_kinds_test.cpp.

Made with Pillow 12 and numpy:  python tests/golden/make/make_images.py
Writes tests/golden/images/*.{png,jpg,webp} and pixels.safetensors.
"""

import pathlib

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1] / "images"


def main():
    HERE.mkdir(exist_ok=True)
    generator = numpy.random.default_rng(0)
    small = generator.integers(0, 256, (3, 4, 3), dtype=numpy.uint8)
    picture = Image.fromarray(small).resize((12, 9), Image.BICUBIC)
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.fromarray(generator.integers(0, 256, (9, 12), dtype=numpy.uint8)))
    sixteen = Image.fromarray(numpy.array(picture.convert("L")).astype(numpy.uint16) * 257)
    picture.save(HERE / "lossless.webp", lossless=True)
    picture.save(HERE / "lossy.webp", quality=80)
    picture.convert("L").save(HERE / "grey.png")
    picture.quantize(16).save(HERE / "palette.png")
    alpha.save(HERE / "alpha.png")
    sixteen.save(HERE / "sixteen.png")
    picture.convert("CMYK").save(HERE / "cmyk.jpg", quality=95)
    picture.save(HERE / "progressive.jpg", quality=90, progressive=True)
    picture.crop((0, 0, 1, 1)).save(HERE / "one.png")
    pixels = {}
    for path in sorted(HERE.glob("*.*")):
        if path.suffix == ".safetensors":
            continue
        image = Image.open(path)
        if path.name == "sixteen.png":
            array = numpy.repeat((numpy.array(image) >> 8).astype(numpy.uint8)[:, :, None], 3, axis=2)
        elif path.name == "alpha.png":
            array = numpy.array(image)[:, :, :3]  # transparency is dropped
        else:
            array = numpy.array(image.convert("RGB"))
        pixels[path.name] = torch.from_numpy(array.copy())
    save_file(pixels, HERE / "pixels.safetensors")


if __name__ == "__main__":
    main()
