"""What a file is when it is not ONNX, told from its first bytes."""

from __future__ import annotations

from ortlab.errors import ModelError

HEAD_BYTES = 1024

_ZIP = (
    "A .zip that holds the .onnx and its data is taken as it is; "
    "a PyTorch or Keras file has to be exported to ONNX first."
)
_EXPORT = "Export the model to ONNX and give the .onnx file."

# (offset, bytes, what it is, what to do)
_MAGIC = (
    (4, b"TFL3", "a TensorFlow Lite model", "Convert it with tf2onnx (--tflite)."),
    (4, b"ORTM", "a model in ORT format", "Give the .onnx file it was made from."),
    (0, b"PK\x03\x04", "a zip archive (PyTorch and Keras files are ones too)",
     _ZIP),
    (0, b"PK\x05\x06", "an empty zip archive", _EXPORT),
    (0, b"\x89HDF", "an HDF5 file (Keras)", "Convert it with tf2onnx."),
    (0, b"GGUF", "a GGUF model", _EXPORT),
    (0, b"\x93NUMPY", "a numpy array", "Give it as input with --input, not as the model."),
    (0, b"\x1f\x8b", "a gzip file", "Unpack it first."),
    (0, b"7z\xbc\xaf", "a 7z archive", "Unpack it first."),
    (0, b"\xfd7zXZ", "an xz file", "Unpack it first."),
    (257, b"ustar", "a tar archive", "Unpack it first."),
    (0, b"\x7fELF", "a program", _EXPORT),
    (0, b"MZ\x90", "a program", _EXPORT),
    (0, b"%PDF", "a PDF document", _EXPORT),
    (0, b"\x89PNG", "a picture", _EXPORT),
    (0, b"\xff\xd8\xff", "a picture", _EXPORT),
)  # fmt: skip


def refuse_other_formats(head: bytes, *, name: str, file_bytes: int) -> None:
    """Return when the file may be ONNX.

    Args:
        head: the first `HEAD_BYTES` bytes.
        name: the file's name, for the sentence.
        file_bytes: size of the whole file.

    Raises:
        ModelError: it is empty, or plainly something else; the sentence says what.
    """
    if file_bytes == 0:
        raise _refusal(name, "empty: it has 0 bytes", "Download or export it again.")
    if head.startswith(b"version https://git-lfs"):
        raise _lfs_pointer(head, name)
    for offset, magic, what, hint in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            raise _refusal(name, what, hint)
    # Protocol 2 and later; as protobuf this would be field 32, which no model has.
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise _refusal(name, "a Python pickle (older PyTorch files are ones)", _EXPORT)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < file_bytes:
        raise _refusal(name, "a safetensors file: weights without a graph", _EXPORT)
    _refuse_text(head.lstrip(b"\xef\xbb\xbf \t\r\n").lower(), name)


def _refuse_text(text: bytes, name: str) -> None:
    # None of these first letters can begin a protobuf message of ONNX.
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        hint = "A web page was saved instead of the file: use the link that downloads it."
        raise _refusal(name, "an HTML page", hint)
    if text.startswith(b"<?xml"):
        raise _refusal(name, "an XML file (OpenVINO graphs are ones)", _EXPORT)
    if text[:1] in (b"{", b"["):
        hint = "A trace is opened with `ortlab profile`; a model has to be the .onnx file."
        raise _refusal(name, "a JSON file", hint)


def _lfs_pointer(head: bytes, name: str) -> ModelError:
    size = next((line[5:] for line in head.split(b"\n") if line.startswith(b"size ")), b"")
    behind = f" of {int(size):,} bytes" if size.isdigit() else ""
    return _refusal(
        name,
        f"a Git LFS pointer: a small text that stands for the real file{behind}",
        "Run `git lfs pull` in its repository, then give the file again.",
    )


def _refusal(name: str, what: str, hint: str) -> ModelError:
    return ModelError(f"'{name}' is not an ONNX model; it is {what}.", hint=hint, kind="not_onnx")
