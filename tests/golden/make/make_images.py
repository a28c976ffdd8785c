"""Small images of the kinds that folders hold, and their pixels as Pillow reads them, for tests/data/images/image_kinds_test.cpp.

Made with Pillow 13 (libjpeg-turbo 3.2) and numpy:  python tests/golden/make/make_images.py
Writes tests/golden/images/*.{png,jpg,webp,gif,bmp,tga} and pixels.safetensors.
"""

import io
import pathlib
import struct

import numpy
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1] / "images"


def jpeg_of(picture, **options):
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", **options)
    return jpeg.getvalue()


def save_those_of_cameras_and_web_pages(picture, generator):
    photograph = picture.resize((40, 28), Image.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    photograph.save(HERE / "turned.jpg", quality=90, exif=exif)
    for subsampling, name in ((0, "444"), (1, "422"), (2, "420")):
        photograph.save(HERE / f"chroma_{name}.jpg", quality=75, subsampling=subsampling)
    photograph.convert("L").save(HERE / "grey.jpg", quality=80)
    # A phone's film after the picture, with the bytes of a scan's beginning in it.
    film = generator.integers(0, 254, 200, dtype=numpy.uint8).tobytes()
    (HERE / "film.jpg").write_bytes(jpeg_of(photograph) + b"\0\0\0\x18ftypmp42" + film[:150] + b"\xff\xda" + film[150:])
    cmyk = jpeg_of(photograph.convert("CMYK"), quality=95)
    mark = cmyk.find(b"\xff\xee")  # Adobe's
    length = struct.unpack(">H", cmyk[mark + 2 : mark + 4])[0]
    (HERE / "cmyk_unmarked.jpg").write_bytes(cmyk[:mark] + cmyk[mark + 2 + length :])
    other = photograph.transpose(Image.Transpose.ROTATE_180)
    photograph.save(HERE / "moving.webp", save_all=True, append_images=[other], duration=100, lossless=True)
    photograph.quantize(32).save(HERE / "moving.gif", save_all=True, append_images=[other.quantize(32)], duration=100)
    photograph.save(HERE / "plain.bmp")
    photograph.quantize(16).save(HERE / "palette.bmp")
    photograph.save(HERE / "plain.tga")
    photograph.convert("L").point(lambda v: v // 64 * 64).save(HERE / "runs.tga", compression="tga_rle")


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
    save_those_of_cameras_and_web_pages(picture, generator)
    pixels = {}
    for path in sorted(HERE.glob("*.*")):
        if path.suffix == ".safetensors":
            continue
        image = ImageOps.exif_transpose(Image.open(path))
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
