"""Which encoding a short text is probably in that is not UTF-8: the one in which it reads most like the language.

Every byte sequence of the East Asian encodings is legal in most of the others, so legality decides little. What decides
is how common the characters are that come out: a frequent one counts more than one that is merely on the first level of
its standard, and that more than a rare one. The lists hold frequent characters of the languages and of captions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

SAMPLE_BYTES = 8000
FREQUENT, USUAL, RARE = 1.0, 0.6, 0.0
# Accented letters stand alone among plain ones; rows of them are another encoding read as this one.
IN_A_ROW = 0.25
# Their bytes are also signs of the West and halves of Chinese and Korean characters: they speak less than one such sign
# alone or a usual character, and more than a row of Western letters.
HALF_WIDTH_KATAKANA = 0.4

JAPANESE = (
    "、。・ー「」　日一人大年本中長出三時行見月分後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川"
    "千水半男西電校語土木聞食車何南万毎白天母火右読友左休父雨少髪目色赤青黒緑黄茶桃桜紫銀笑顔服着帽手足指口耳猫犬鳥花背景夜空海街"
    "部屋室内正面横向座立持全身絵風制短巻眼鏡"
)
CHINESE = (
    "，。、：；！？（）的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后"
    "小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长女孩男色红蓝绿黄"
    "黑白粉紫金银短发眼睛微笑衣服裙帽站坐背景猫狗鸟脸嘴耳朵尾巴套鞋袜花树海空夜室内外侧正照片画风只少戴穿全身马双卷校水校"
)
TRADITIONAL = (
    "，。、：；！？（）的一是不了在人有我他這中大來上個國到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可她裡後"
    "小麼心多天而能好都然沒日於起還發成事只作當想看文無開手十用主行方又如前所本見經頭面公同三已老從動兩長女孩男色紅藍綠黃"
    "黑白粉紫金銀短髮眼睛微笑衣服裙帽站坐背景貓狗鳥臉嘴耳朵尾巴套鞋襪花樹海空夜室內外側正照片畫風隻少戴穿全身馬雙捲校水"
)
KOREAN = (
    "이다는을를에의가고하지도로한은기나사리자그서아어시대인일보정수라해여들있것게만주전부상제장스원요동구공면화소과성세조와"
    "머눈녀년남색빨강파란노랑검흰얀긴짧옷치마모웃미얼굴손발배경앉선안귀꼬슴입코드레셔츠양말신본단교복실외내밤낮바하늘풍분홍초록"
    "갈진회빛금은백적청황고양이강쥐새꽃나무물비눈물음표정무릎팔다허몸쪽정앞뒤옆위아래작큰많예쁜귀여운"
)
WESTERN = "éèêëàâäáãåçïîíìôöóõøùûüúñßœæÉÈÀÄÖÜÑÇ’‘“”–—…€°«»©®·×½¼¾§£¥±µ¡¿"


@dataclass(frozen=True)
class _Script:
    """How common the characters of an encoding's language are.

    Args:
        encoding: Python's name.
        frequent: those that stand in nearly every text.
        first_level: lead bytes of the usual ones, in `encoding`; the standards sort rare ones behind them.
    """

    encoding: str
    frequent: frozenset[str]
    first_level: range

    def weight(self, character: str) -> float:
        """How much a character speaks for this encoding."""
        if character in self.frequent:
            return FREQUENT
        data = character.encode(self.encoding, "ignore")
        if self.encoding == "cp932" and "\u3041" <= character <= "\u30fc":
            return FREQUENT
        if self.encoding == "cp932" and "\uff66" <= character <= "\uff9f":
            return HALF_WIDTH_KATAKANA
        return USUAL if len(data) == 2 and data[0] in self.first_level and self._is_regular(data) else RARE

    def _is_regular(self, data: bytes) -> bool:
        """Whether the second byte is one of the old standard, not of its later extensions."""
        return data[1] >= 0xA1 if self.encoding in ("gbk", "cp949") else True


@cache
def _scripts() -> tuple[_Script, ...]:
    # Where two speak alike, the one named first wins.
    return (
        _Script("cp932", frozenset(JAPANESE), range(0x88, 0x98)),
        _Script("gbk", frozenset(CHINESE), range(0xB0, 0xD8)),
        _Script("big5", frozenset(TRADITIONAL), range(0xA4, 0xC7)),
        _Script("cp949", frozenset(KOREAN), range(0xB0, 0xC9)),
        _Script("cp1252", frozenset(WESTERN), range(0)),
    )


def likely_encoding(data: bytes) -> str | None:
    """The encoding that a text is probably in; None when it reads in none of those that we know.

    Args:
        data: of a text that is not UTF-8, or that holds NUL.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    sample = data[:SAMPLE_BYTES]
    if len(sample) > 3 and sample.count(0) * 3 > len(sample):
        # Latin letters in two bytes each, with a NUL before or behind every letter.
        return "utf-16-le" if sample[1] == 0 else "utf-16-be"
    best = max(_scores(data), default=None)
    return best[2] if best else None


def _scores(data: bytes) -> Iterator[tuple[float, int, str]]:
    """How well a text reads in each encoding in which it can be read at all; the second number breaks ties."""
    for order, script in enumerate(_scripts()):
        try:
            text = data.decode(script.encoding)
        except UnicodeDecodeError:
            continue
        if any(not (character.isprintable() or character.isspace()) for character in text):
            continue
        yield _score(text, script), -order, script.encoding


def _score(text: str, script: _Script) -> float:
    weights = []
    before = " "
    for character, after in zip(text, f"{text[1:]} ", strict=True):
        if character > "\x7f":
            weight = script.weight(character)
            in_a_row = script.encoding == "cp1252" and (before > "\x7f" or after > "\x7f")
            weights.append(weight * IN_A_ROW if in_a_row else weight)
        before = character
    return sum(weights) / max(len(weights), 1)
