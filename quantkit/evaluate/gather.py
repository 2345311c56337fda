"""A suite's speech on this machine: decoded, judged, counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from quantkit.core.errors import InputError, SettingError
from quantkit.core.files import sha256_json
from quantkit.core.progress import Progress
from quantkit.evaluate.words import words
from quantkit.recipe.suite import SuiteSettings
from quantkit.speech.cache import Speech, SpeechCache, Unusable
from quantkit.speech.digests import FileDigests
from quantkit.speech.files import open_folder, open_manifest
from quantkit.speech.long_form import join_sets
from quantkit.speech.manifest import spread
from quantkit.speech.sets import SetSettings
from quantkit.speech.source import Row, Source
from quantkit.speech.suite_dataset import open_dataset
from quantkit.speech.utterances import Exclusion, Gathered, GatheredSet, SuiteUtterance

#: Reasons and ids that a message names; the others are counted.
_NAMED = 3
#: The text of segments that TED-LIUM tells to leave out, after normalization.
_IGNORED = "ignore time segment in scoring"
#: What a language that has a text normalizer is called, in lower case.
_LANGUAGES = {"en": {"en", "eng", "english"}}


def gather(suite: SuiteSettings, cache: Path, sample_rate: int, progress: Progress) -> Gathered:
    """Bring the speech of a suite onto this machine, each recording decoded once.

    A killed call goes on where it was; a later one decodes nothing. Others that use the same cache
    wait meanwhile.

    Args:
        suite: what to gather; relative paths in it start at the working directory.
        cache: directory of decoded speech, shared by suites.
        sample_rate: of the decoded speech, Hz.
        progress: told about each utterance.

    Returns:
        The sets that can be used, and one message for each that cannot.

    Raises:
        InputError: no set can be used; with all messages.
        MissingExtraError: a set needs `datasets`, which is not installed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        speech, digests = SpeechCache(cache, sample_rate), FileDigests(cache / "files.jsonl")
        sets: dict[str, GatheredSet] = {}
        problems = []
        for name, settings in suite.sets.items():
            try:
                source = _open(settings, speech, digests)
                rows = list(progress.track(source.rows, source.count, f"gather {name}"))
                sets[name] = _judged(name, suite, source, rows)
            except SettingError as error:
                problems.append(f"sets.{name}.{error}")
            except InputError as error:
                problems.append(f"sets.{name}: {error}")
        if not sets:
            raise InputError("\n".join(problems))
        joined = None
        if suite.long_form_s is not None:
            utterances = [gathered.utterances for gathered in sets.values()]
            joined = join_sets(utterances, suite.long_form_s, speech)
    return Gathered(sets, problems, joined)


def gather_manifest(
    manifest: Path, cache: Path, sample_rate: int, progress: Progress
) -> list[SuiteUtterance]:
    """Every utterance of a manifest, decoded, to be compared deeply.

    Raises:
        InputError: the manifest is wrong, or a recording is missing or cannot be used.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        speech, digests = SpeechCache(cache, sample_rate), FileDigests(cache / "files.jsonl")
        source = open_manifest(str(manifest), None, speech, digests)
        utterances = []
        for row in progress.track(source.rows, source.count, "gather"):
            if isinstance(row.speech, Unusable):
                raise InputError(f"{source.name}: {row.id}: {row.speech.reason}")
            utterances.append(_utterance(manifest.stem, row, row.speech, deep=True))
    return utterances


def _open(settings: SetSettings, speech: SpeechCache, digests: FileDigests) -> Source:
    if settings.dataset is not None:
        return open_dataset(settings.dataset, settings.utterances, speech, digests)
    if settings.folder is not None:
        return open_folder(settings.folder, settings.utterances, speech, digests)
    return open_manifest(settings.manifest or "", settings.utterances, speech, digests)


def _judged(name: str, suite: SuiteSettings, source: Source, rows: Sequence[Row]) -> GatheredSet:
    """Tell what is evaluated from what is excluded.

    Raises:
        InputError: ids are not unique, or nothing is left.
    """
    often = [key for key, count in Counter(row.id for row in rows).items() if count > 1]
    if often:
        raise InputError(
            f"found {len(often)} ids that several utterances share, such as "
            f"{', '.join(often[:_NAMED])}; accepted: an id for each"
        )
    reasons = {row.id: _exclusion(row, suite.language) for row in rows}
    good = [row for row in rows if reasons[row.id] is None]
    exclusions = [Exclusion(name, key, why) for key, why in reasons.items() if why is not None]
    if not good:
        counted = Counter(exclusion.reason for exclusion in exclusions).most_common(_NAMED)
        told = "; ".join(f"{count}: {reason}" for reason, count in counted)
        raise InputError(f"none of its {len(rows)} utterances can be used. {told}")
    deep = set(spread(range(len(good)), suite.distributions))
    utterances = [
        _utterance(name, row, row.speech, deep=number in deep)
        for number, row in enumerate(good)
        if isinstance(row.speech, Speech)
    ]
    return GatheredSet(source.name, source.revision, utterances, exclusions)


def _utterance(name: str, row: Row, speech: Speech, *, deep: bool) -> SuiteUtterance:
    digest = sha256_json([speech.samples, row.text])
    return SuiteUtterance(
        name, row.id, speech.audio, row.text, speech.duration_s, digest, deep, row.segment
    )


def _exclusion(row: Row, language: str) -> str | None:
    """Why a row is not evaluated in a suite of this language, as the Open ASR leaderboard has it.

    None if it is.
    """
    if isinstance(row.speech, Unusable):
        return row.speech.reason
    if row.language and not is_language(row.language, language):
        return f"its language is {row.language!r}, the suite's is {language!r}"
    if row.text is None:
        return "it has no text"
    said = " ".join(words(row.text))
    if not said:
        return "nothing is left of its text after normalization"
    return "its text says to ignore it in scoring" if said == _IGNORED else None


def is_language(code: str, language: str) -> bool:
    """Whether a code, such as `en-US`, `eng` or `EN`, is of a suite's language.

    Only the primary subtag counts: regions and scripts share the normalizer.
    """
    primary = re.split(r"[-_]", code.strip().lower(), maxsplit=1)[0]
    return primary in _LANGUAGES[language]
