from hypothesis import given
from hypothesis import strategies as st

from quantkit.evaluate.gather import is_language

SUBTAGS = st.lists(st.from_regex(r"[A-Za-z0-9]{2,8}", fullmatch=True), max_size=3)


@given(
    name=st.sampled_from(["en", "EN", "eng", "English"]),
    mark=st.sampled_from("-_"),
    rest=SUBTAGS,
)
def test_only_the_primary_subtag_counts(name, mark, rest) -> None:
    assert is_language(mark.join([name, *rest]), "en")
    assert not is_language(mark.join(["de", name, *rest]), "en")


@given(st.from_regex(r"[a-z]{2,3}", fullmatch=True).filter(lambda code: code not in {"en", "eng"}))
def test_others_are_others(code) -> None:
    assert not is_language(code, "en")
