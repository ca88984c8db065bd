"""Reading XML files in the encodings of data set releases."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.common.xml_files import XMLError, read_xml


@pytest.mark.parametrize(
    ("declared", "encoding", "text"),
    [
        ("gb2312", "gb18030", "车"),
        ("GBK", "gbk", "车"),
        ("utf-8", "utf-8-sig", "车"),
        ("utf-16", "utf-16", "车"),
        ("latin-1", "latin-1", "é"),
        (None, "utf-8", "é"),
    ],
)
def test_read_xml_decodes_the_declared_encoding(
    tmp_path: Path, declared: str | None, encoding: str, text: str
) -> None:
    declaration = f'<?xml version="1.0" encoding="{declared}"?>\r\n' if declared else "\n"
    (tmp_path / "a.xml").write_bytes(f"{declaration}<a>{text}</a>\r\n".encode(encoding))
    assert read_xml(tmp_path / "a.xml").text == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not well-formed XML"),
        (b"<a>", "is not well-formed XML"),
        (b"<a>\xff\xfe</a>", "is not utf-8 text"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "is not klingon text"),
        (b'<?xml version="1.0" encoding="undefined"?><a/>', "is not undefined text"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "defines XML entities"),
    ],
)
def test_read_xml_refuses_broken_and_unsafe_files(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "a.xml").write_bytes(data)
    with pytest.raises(XMLError, match=f"^{message}"):
        read_xml(tmp_path / "a.xml")


def test_read_xml_raises_os_error_for_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_xml(tmp_path / "none.xml")
