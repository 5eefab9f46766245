"""Texts on which engines could differ: every block of Unicode, odd spaces, long runs, real code."""

from __future__ import annotations

import inspect
import json
import random
import textwrap
import unicodedata
from functools import cache

from rolecall.tokenizers.choice import hard_texts

ODD = (
    "\u2581", " \u2581\u2581 a", "a\u2581b", "\x00\x01\x7f\x80\xad", "\ufeffa\ufeff", "a\u200db",
    "e\u0301 e\u0301\u0323 \u0301", "\u1100\u1161\u11a8각", "Å\u212b\u2126", "ﬁ", "السَّلامُ", "שָׁלוֹם",
    "नमस्ते क्ष", "ไทยภาษา", "日本語、ｶﾅ", "中文，标点。", "𝐀𝐁 🄰 ①ⅷ ½", "🇩🇪🇫🇷🇺 🏳️‍🌈 👩🏽‍🚀", "<0x0A><0xFF>",
    "<s></s><unk><bos><pad><mask><|im_end|><|endoftext|>[INST]", "<table><tr><td>1</td></tr></table>",
    "'s 'S 'll 'LL 'Ll 're 'VE 'm 'd 'T 'ſ ’s don't I'LL can't've K'K", "1 23 456 7890 12345678901",
    "def f(x):\n    return x + 1\r\n\r\n\tif y:\n\t\tpass\n", "x \n y  \n\n  z   ", " a  b   c    d",
    "http://a.b/c?d=e&f=%20#g", "a/\nb//\r\n", "camelCaseHTTPServer", "ᾳᾼǅİıſ", "\U00020000\U0003fffd",
    "\ue000\U000f0000\U0010ffff", "\u0378\u0379", "\x1c\x1d\x85\u2028\u3000\u202f", "\u0958\u0344\ufb1d",
)  # fmt: skip

WORDS = """
the of don't I'll It's HELLO World 12 345 6789 3.14 x86_64 naïve über привет мир 你好 世界 カタカナ 안녕
שלום مرحبا हिन्दी ไทย ελληνικά 👍 👨‍👩‍👧 ... -- === <b> </b> {} () // \\ $ % & # @ ' " ` ½ Ⅷ ١٢ ﬁ
"""

SPACES = (
    "e\u0301 \u00a0",
    "\u3000",
    "\u200b",
    "\u2581",
    "\n",
    "\r\n",
    " \t",
    "\n\n",
    "\x00\x1b",
    "\u0378",
)


@cache
def short() -> tuple[str, ...]:
    """A few hundred kilobytes, for each tokenizer in `make check`."""
    return (*hard_texts(), *ODD, *runs(300), *mixed(200, seed=1), *blocks(step=61))


@cache
def long() -> tuple[str, ...]:
    """Some megabytes, for the long run: every character that there is, and long runs."""
    return (*short(), *runs(100_000), *mixed(4000, seed=2), *blocks(step=1), *unassigned(), *code())


def runs(length: int) -> list[str]:
    """One character many times."""
    return [character * length for character in " \n\ta1é中.\u0301-=\u3000😀'"]


def mixed(count: int, *, seed: int) -> list[str]:
    """Words, signs and spaces of all kinds in any order."""
    chance = random.Random(seed)
    between = ["", " ", "  ", "\n"]
    words = [*WORDS.split(), *SPACES]
    return [
        "".join(
            chance.choice(between) + chance.choice(words) for _ in range(chance.randrange(1, 40))
        )
        for _ in range(count)
    ]


def blocks(*, step: int) -> list[str]:
    """Every assigned character, forty to a text, beside letters, digits, signs and spaces."""
    assigned = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")
    ]
    found: list[str] = []
    for begin in range(0, len(assigned), 40 * step):
        some = assigned[begin : begin + 40]
        found += [joint.join(some) for joint in ("", " ", "a", "1", "'s ", "\n", "!", " .")]
    return found


def unassigned() -> list[str]:
    """Characters that Python's Unicode does not know, and a later one may."""
    codes = [code for code in range(0x20000) if unicodedata.category(chr(code)) == "Cn"]
    return [
        joint.join(map(chr, codes[begin : begin + 40]))
        for begin in range(0, len(codes), 40)
        for joint in ("", " a", "1\u0301")
    ]


def code() -> list[str]:
    """Sources of the standard library."""
    modules = (inspect, json, random, textwrap)
    return [text for module in modules for text in inspect.getsource(module).split("\n\n")]
