"""Evaluation suites: sets of speech with texts, from manifests, folders and data sets."""

from quantkit.suite.gather import gather
from quantkit.suite.load import load_suite, suite_schema
from quantkit.suite.settings import GateSettings, ModeSettings, RegressionSettings, SuiteSettings
from quantkit.suite.utterances import Exclusion, Gathered, GatheredSet, SuiteUtterance

__all__ = [
    "Exclusion",
    "GateSettings",
    "Gathered",
    "GatheredSet",
    "ModeSettings",
    "RegressionSettings",
    "SuiteSettings",
    "SuiteUtterance",
    "gather",
    "load_suite",
    "suite_schema",
]
