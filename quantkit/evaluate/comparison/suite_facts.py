"""What was evaluated on, as a report tells it."""

from __future__ import annotations

from quantkit.core.files import sha256_json
from quantkit.evaluate.comparison.evaluated import Evaluated
from quantkit.report.schema import Excluded, Suite, SuiteSet
from quantkit.speech.utterances import Gathered


def describe_suite(
    name: str, language: str, normalizer: str, gathered: Gathered, evaluated: Evaluated
) -> Suite:
    """The suite's facts; `normalizer` is the text normalizer's name and version."""
    return Suite(
        name=name,
        language=language,
        normalizer=normalizer,
        sets={
            key: SuiteSet(
                source=found.source,
                revision=found.revision,
                utterances=len(found.utterances),
                words=int(evaluated.words[evaluated.sets[key]].sum()),
                duration_s=sum(one.duration_s for one in found.utterances),
                digest=sha256_json([one.digest for one in found.utterances]),
                excluded=[Excluded(id=one.id, reason=one.reason) for one in found.exclusions],
            )
            for key, found in gathered.sets.items()
        },
        problems=list(gathered.problems),
    )
