"""What jobs and the trainer's environment tell, in the language of the page.

They write their sentences in English, into files that outlive the page and its language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .words import Words

SENTENCES = ("what", "why", "fix")


def problem_told(problem: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """A problem as `UserError.as_dict` has it, with the parts of one that stands for several."""
    told = {**problem, **{name: words.finished(str(problem.get(name) or "")) for name in SENTENCES}}
    if isinstance(problem.get("problems"), list):
        told["problems"] = [problem_told(part, words) for part in problem["problems"] if isinstance(part, Mapping)]
    return told


def job_told(job: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """A job in short or in full, as `jobs.view` has it."""
    told = {**job, "title": words(str(job.get("title") or "")), "reason": words.finished(str(job.get("reason") or ""))}
    if isinstance(job.get("warnings"), list):
        told["warnings"] = [words.finished(str(text)) for text in job["warnings"]]
    if isinstance(job.get("problem"), Mapping):
        told["problem"] = problem_told(job["problem"], words)
    return told


def environment_told(status: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """How the trainer's environment stands, as its set-up says it."""
    told = {**status, **{name: words.finished(str(status[name])) for name in ("why", "hint") if name in status}}
    if isinstance(status.get("problem"), Mapping):
        told["problem"] = problem_told(status["problem"], words)
    if isinstance(status.get("plan"), Mapping):
        told["plan"] = {**status["plan"], "because": words.finished(str(status["plan"].get("because") or ""))}
    return told
