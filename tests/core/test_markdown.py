"""Nothing in a stranger's text acts in Markdown."""

import re

import pytest

from quantkit.core.markdown import code, escape, fenced

BREAK = "&#x200B;"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@torvalds and @org/team", f"@{BREAK}torvalds and @{BREAK}org/team"),
        ("fixes #12, org/repo#3, GH-4", rf"fixes \#{BREAK}12, org/repo\#{BREAK}3, GH-{BREAK}4"),
        ("https://a.b, WWW.a.b", f"https:{BREAK}//a.b, WWW{BREAK}.a.b"),
        ("0123abcd of " + "b" * 41, f"0123ab{BREAK}cd of " + "b" * 41),
        ("me@a.b", f"me@{BREAK}a.b"),
        ("<img src=x> &amp;", r"&lt;img src=x\> &amp;amp;"),
        ("![a](b) [c]: d", r"!\[a\](b) \[c\]: d"),
        ("```\n~~~", r"\`\`\` \~\~\~"),
        ("\x1b[31m\u202e\ud800", r"\\x1b\[31m\\u202e\\ud800"),
        ("$x$ | y", r"\$x\$ \| y"),
        ("0.34 (0.1 to 0.2), 1,234,567 words, demo-int4-gptq", None),
    ],
)
def test_text_links_to_nothing(text, shown) -> None:
    assert escape(text) == (text if shown is None else shown)


def test_a_digest_stays_whole_in_code() -> None:
    assert code("0123456789ab") == "`0123456789ab`"
    assert code("a`b|@c") == r"``a`b\|@c``"
    assert code("`a``") == "``` `a`` ```"
    assert code("") == ""


def test_nothing_ends_a_block_of_code() -> None:
    text = "quantkit compare 'a\n```\n@all ````\x1b'"
    block = fenced(text, "sh")
    assert block == "`````sh\nquantkit compare 'a\n```\n@all ````\\x1b'\n`````"
    assert len(re.findall("^`{5}", block, re.MULTILINE)) == 2
