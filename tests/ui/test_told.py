"""What jobs and the environment tell, in the language of the page."""

from tanren.ui.told import environment_told, job_told, problem_told
from tanren.ui.words import Words

JAPANESE, ENGLISH = Words("ja_JP"), Words("en")
PROBLEM = {"code": 3, "where": "/a", "what": "No pictures were found.", "why": "", "fix": "Check the path."}


def test_a_problem_keeps_its_place_and_its_code():
    told = problem_told(PROBLEM, JAPANESE)

    assert told == {**PROBLEM, "what": "画像が見つかりませんでした。", "fix": "パスを確認してください。"}


def test_each_of_several_problems_is_told():
    told = problem_told({**PROBLEM, "problems": [PROBLEM]}, JAPANESE)

    assert told["problems"][0]["what"] == "画像が見つかりませんでした。"


def test_a_job_tells_its_reason_its_warnings_and_its_problem():
    warning = "--xformers: the package is not installed; PyTorch's own attention is used."
    job = {"name": "fox", "title": "", "reason": "It failed.", "warnings": [warning], "problem": PROBLEM}
    told = job_told(job, JAPANESE)

    assert (told["name"], told["reason"]) == ("fox", "失敗しました。")
    assert told["warnings"] == [
        "--xformers：パッケージがインストールされていないため、PyTorch 標準の attention を使います。"
    ]
    assert told["problem"]["fix"] == "パスを確認してください。"


def test_a_job_in_short_gets_no_parts_that_it_has_not():
    assert job_told({"id": "1", "title": "t", "reason": ""}, JAPANESE) == {"id": "1", "title": "t", "reason": ""}


def test_environment_says_why_it_is_as_it_is():
    status = {
        "state": "outdated",
        "why": "packages are still missing for: core, test",
        "plan": {"download": 1, "because": "no NVIDIA GPU was found"},
    }
    told = environment_told(status, JAPANESE)

    assert told["why"] == "まだ足りないパッケージがあります：core, test"
    assert told["plan"] == {"download": 1, "because": "NVIDIA の GPU が見つかりません"}


def test_english_stays_as_it_is():
    assert environment_told({"why": "its Python is gone"}, ENGLISH) == {"why": "its Python is gone"}
    assert problem_told(PROBLEM, ENGLISH) == PROBLEM
