"""Gates as test cases, for the pages of CI systems."""

from __future__ import annotations

import io
import re

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from quantkit.core.text import printable
from quantkit.report.format import describe_gate
from quantkit.report.schema import Report
from quantkit.report.sentences import reasons

# XML 1.0 has no place for them, not even as references.
_CONTROLS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: Report) -> bytes:
    """A suite for every scheme with a case for every gate, and one for the speech."""
    xml = JUnitXml("quantkit compare")
    for scheme in dict.fromkeys(gate.scheme for gate in report.gates):
        suite = TestSuite(_clean(scheme))
        for gate in (one for one in report.gates if one.scheme == scheme):
            case = TestCase(_clean(gate.name), classname=_clean(scheme))
            if not gate.passed:
                case.result = Failure(_clean(describe_gate(gate)), "gate")
            suite.add_testcase(case)
        xml.add_testsuite(suite)
    xml.add_testsuite(_speech(report))
    xml.update_statistics()  # type: ignore[no-untyped-call]
    content = io.BytesIO()
    xml.write(content, pretty=True)
    return content.getvalue()


def _speech(report: Report) -> TestSuite:
    """A case for every set; those that could not be used are errors."""
    suite = TestSuite("speech")
    for name, one in report.suite.sets.items():
        suite.add_property(_clean(f"excluded from {name}"), str(len(one.excluded)))
        suite.add_testcase(TestCase(_clean(name), classname="speech"))
    for index, line in enumerate(reasons(report), 1):
        suite.add_property(f"excluded, reason {index}", _clean(line))
    for index, problem in enumerate(report.suite.problems, 1):
        case = TestCase(f"problem {index}", classname="speech")
        case.result = Error(_clean(problem), "set")
        suite.add_testcase(case)
    return suite


def _clean(text: str) -> str:
    return printable(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))
