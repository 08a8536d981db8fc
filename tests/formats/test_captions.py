import pytest
from tanren.errors import DataError
from tanren.formats.captions import caption_names, read_caption
from tanren.formats.likely_encoding import likely_encoding


def written(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    return str(path)


@pytest.mark.rule("txt-01")
def test_byte_order_mark_is_removed(tmp_path):
    assert read_caption(written(tmp_path, b"\xef\xbb\xbfa cat\n")).text == "a cat"


@pytest.mark.rule("txt-02")
def test_other_encodings_are_refused_with_byte_offset_and_likely_encoding(tmp_path):
    path = written(tmp_path, b"a " + "猫がいる".encode("cp932"))

    with pytest.raises(DataError) as refused:
        read_caption(path)

    assert refused.value.code == 3
    assert refused.value.where == path
    assert refused.value.what == "The text is not in utf-8: byte 2 does not fit."
    assert refused.value.why == "It looks like cp932."
    assert "--caption_encoding=cp932" in refused.value.fix


@pytest.mark.rule("txt-02")
@pytest.mark.parametrize(("encoding", "text"), [("cp932", "猫がいる"), ("gbk", "一只猫坐着"), ("utf-16", "a cat")])
def test_the_named_encoding_is_used(tmp_path, encoding, text):
    assert read_caption(written(tmp_path, text.encode(encoding)), encoding).text == text


@pytest.mark.rule("txt-02")
def test_utf_16_is_recognised(tmp_path):
    with pytest.raises(DataError, match="not in utf-8") as refused:
        read_caption(written(tmp_path, "a cat".encode("utf-16")))
    assert "utf-16" in refused.value.why


@pytest.mark.rule("txt-03")
@pytest.mark.parametrize("data", [b"", b"  \r\n \n", b"\xef\xbb\xbf"])
def test_empty_captions_are_refused(tmp_path, data):
    with pytest.raises(DataError, match="The caption is empty"):
        read_caption(written(tmp_path, data))


@pytest.mark.rule("txt-03")
def test_a_nul_character_is_refused(tmp_path):
    with pytest.raises(DataError, match="NUL character"):
        read_caption(written(tmp_path, b"a\x00cat"))


@pytest.mark.rule("txt-03")
def test_captions_of_more_than_64_kib_are_refused(tmp_path):
    assert len(read_caption(written(tmp_path, b"a" * 65536)).text) == 65536
    with pytest.raises(DataError, match="longer than 65536 bytes"):
        read_caption(written(tmp_path, b"a" * 65537))


@pytest.mark.rule("txt-03")
def test_only_the_first_line_counts_and_further_ones_are_counted(tmp_path):
    assert read_caption(written(tmp_path, b" a cat \r\nsecond\r\n\r\nthird")) == ("a cat", 2)


@pytest.mark.rule("txt-03")
def test_with_all_lines_blank_ones_are_left_out(tmp_path):
    assert read_caption(written(tmp_path, b"\r\na cat\r\n\r\n b \r\n"), all_lines=True) == ("a cat\nb", 0)


@pytest.mark.rule("txt-03")
def test_a_blank_first_line_is_refused_because_only_it_would_count(tmp_path):
    with pytest.raises(DataError, match="first line of the caption is blank"):
        read_caption(written(tmp_path, b"\n a cat"))


def test_pictures_of_face_detection_share_a_caption():
    assert caption_names("photo_1_100_80_64_60", ".txt") == ["photo_1_100_80_64_60.txt", "photo_1.txt"]
    assert caption_names("a_b_c", ".txt") == ["a_b_c.txt"]


@pytest.mark.parametrize(
    ("encoding", "texts"),
    [
        (
            "cp932",
            ["猫", "桜色の髪, 笑顔", "a cat, 青空", "魔法使い", "侍", "水着", "金髪碧眼", "浴衣, 花火", "剣を持つ騎士"],
        ),
        ("gbk", ["猫", "一只猫坐着", "红裙子", "1girl, 白色连衣裙", "汉服", "双马尾", "古风", "赛博朋克城市", "原神"]),
        ("big5", ["貓", "藍色頭髮的女孩, 微笑", "紅色裙子", "校園背景", "台北夜景", "雙馬尾", "水彩畫"]),
        ("cp949", ["고양이", "긴 머리, 파란 눈", "소녀", "교복", "1girl, 금발", "풍경", "수채화", "꽃", "똠방각하"]),
        ("cp1252", ["café", "fée", "une fille créée", "Straße", "L’été", "œuvre", "Größe", "niño feliz"]),
        ("utf-16-le", ["1girl, 猫"]),
    ],
)
def test_texts_are_told_apart_by_how_common_their_characters_are(encoding, texts):
    for text in texts:
        assert likely_encoding(text.encode(encoding)) == encoding, text


@pytest.mark.parametrize(
    ("encoding", "texts"),
    [
        ("cp1252", ["girl · hat", "50×50 grid", "½ body", "¼ view", "¾ view", "© artist", "©2024", "Name® doll"]),
        ("cp1252", ["20 °C", "£5", "¥500", "§", "«chat»", "± 5", "5 µm", "¡hola!", "¿por qué?"]),
        ("cp932", ["ﾃｽﾄ", "ｱﾆﾒ", "ﾈｺ, ﾘﾎﾞﾝ", "ﾒｶﾞﾈ", "ﾎﾟﾆｰﾃｰﾙ"]),
    ],
)
def test_a_lone_western_sign_is_no_half_width_katakana_and_a_word_of_these_is_japanese(encoding, texts):
    for text in texts:
        assert likely_encoding(text.encode(encoding)) == encoding, text


def test_bytes_that_are_no_text_have_no_likely_encoding():
    assert likely_encoding(bytes(range(128, 160))) is None
