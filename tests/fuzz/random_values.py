"""Random texts, JSON and numbers, of the kind that breaks programs; each text can be told from those of other calls."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from tests.support.bad_messages import BAD_JSON, BAD_TEXTS

T = TypeVar("T")
Names = Mapping[str, Sequence[str]]
"""By the name of a field, what there is for it."""

_ODD = (
    "\x00\x1f\x7f\xa0\u0301\u061c\u200b\u200d\u202e\u2028\ufeff\ufffd\ufffe"
    "\U0001f469\U000e0001\U0010ffff'\"\\%{}<>~/|"
)
_NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 999_999_999_999)
_NUMBER_TEXTS = (
    *map(str, _NUMBERS),
    *("-0", "-0.0", "1.0", "1e5", "1E-320", "1.7976931348623157e308", "0.1", "9007199254740993.0"),
    *(
        "9223372036854775808",
        "-9223372036854775809",
        "1E400",
        "18446744073709551616",
        "1" * 5_000,
        "01",
        "NaN",
    ),
)
_LARGE = 1024 * 1024


class Values:
    """What one call is made of. ``mark`` is in every text that was not taken from ``names``."""

    def __init__(self, chance: random.Random, names: Names, mark: str) -> None:
        self.chance = chance
        self.names = names
        self.mark = mark
        # Lists of lists of lists would have a million parts, and some megabytes in every twentieth.
        self._parts_left = 300
        self._large_left = 2

    def count(self) -> int:
        """How many parts a list has."""
        count = min(self.chance.choice((0, 1, 1, 1, 2, 3, 17, 101)), self._parts_left)
        self._parts_left -= count
        return count

    def text(self, field: str) -> str:
        """For a field of that name: most often something that there is, or a free text."""
        known = self.names.get(field)
        if known and self.chance.random() < 0.7:
            return self.chance.choice(known)
        return self._pick(
            (8, lambda: self.mark),
            (2, lambda: f"{self.mark} {self._odd_text(40)}"),
            (2, lambda: self.chance.choice(BAD_TEXTS)),
            (2, lambda: "/" + "/".join(self.mark for _ in range(self.chance.randint(1, 70)))),
            (1, lambda: self.mark + self._odd_text(1) * self.chance.choice((100, 1_000, 100_000))),
        )

    def number(self, lowest: int, highest: int) -> int:
        number = self.chance.choice(_NUMBERS) if self.chance.random() < 0.5 else self.chance.randint(0, 20)
        return min(max(number, lowest), highest)

    def double(self) -> float:
        return self.chance.choice((0.0, -0.0, 1.5, 5e-324, 1e308, float("nan"), float("inf"), -float("inf")))

    def bytes(self) -> bytes:
        return self._pick(
            (4, self.mark.encode),
            (2, lambda: self.chance.randbytes(self.chance.randint(0, 300))),
            (1, lambda: bytes(self.chance.choice((65_536, _LARGE, _LARGE + 1)))),
        )

    def json(self) -> str:
        """A JSON text: of the shape that the flows keep, any, at the limits, or none at all."""
        return self._pick(
            (6, lambda: json.dumps({"shown": self.mark, "hidden": self.mark})),
            (2, lambda: json.dumps({"text": self.mark})),
            (6, lambda: self._value(self.chance.randint(0, 6))),
            (2, lambda: self._nested(self.chance.choice((62, 63, 64, 65, 5_000)))),
            (2, lambda: self.chance.choice(BAD_JSON)),
            (1, self._large),
            (1, lambda: self._broken(self._value(4))),
        )

    def _value(self, depth: int) -> str:
        kind = self.chance.randrange(9 if depth else 6)
        match kind:
            case 0 | 1:
                return self.chance.choice(_NUMBER_TEXTS)
            case 2:
                return self.chance.choice(("true", "false", "null"))
            case 3 | 4 | 5:
                return self._string()
            case 6:
                return f"[{','.join(self._value(depth - 1) for _ in range(self.chance.randint(0, 4)))}]"
        pairs = [f"{self._string()}:{self._value(depth - 1)}" for _ in range(self.chance.randint(0, 4))]
        blank = self.chance.choice(("", "", " ", "\n\t \r\n"))
        return "{" + blank + ("," + blank).join(pairs * self.chance.choice((1, 1, 2))) + blank + "}"

    def _string(self) -> str:
        text = self._pick(
            (6, lambda: self.mark),
            (2, lambda: self.mark + self._odd_text(10)),
            (1, lambda: self.mark + "k" * (256 - len(self.mark) + self.chance.randint(0, 1))),
            (1, lambda: self.chance.choice(("shown", "hidden", "__class__", "model_config", ""))),
        )
        return json.dumps(text, ensure_ascii=self.chance.random() < 0.5)

    def _nested(self, depth: int) -> str:
        opening = self.chance.choice(("[", f'{{"{self.mark}":'))
        return opening * depth + "1" + ("]" if opening == "[" else "}") * depth

    def _large(self) -> str:
        """Near or over the size that a state or an input may have."""
        self._large_left -= 1
        if self._large_left < 0:
            return f'"{self.mark}"'
        size = self.chance.choice((60_000, _LARGE - 100, _LARGE + 100, 3 * _LARGE))
        return self._pick(
            (1, lambda: '{"shown":"' + self.mark + "x" * size + '"}'),
            (1, lambda: '{"shown":"' + self.mark + "\\u0041" * (size // 6) + '"}'),
            (1, lambda: "[" + "[]," * (size // 3) + "1]"),
            (1, lambda: "{" + ",".join(f'"{n}":{n}' for n in range(size // 14)) + "}"),
            (1, lambda: " " * size + "{}"),
            (1, lambda: "9" * size),
        )

    def _broken(self, text: str) -> str:
        place = self.chance.randint(0, len(text))
        return text[:place] + self._odd_text(1) + text[place + self.chance.randint(0, 2) :]

    def _odd_text(self, length: int) -> str:
        return "".join(self.chance.choice(_ODD) for _ in range(self.chance.randint(1, length)))

    def _pick(self, *choices: tuple[int, Callable[[], T]]) -> T:
        weights = [weight for weight, _ in choices]
        return self.chance.choices([make for _, make in choices], weights)[0]()
