import io

from tanren.errors import DataError
from tanren.events import Report
from tanren.picture_models.progress import ConsoleSink


def test_people_read_each_step_once_and_problems_with_their_advice():
    out = io.StringIO()
    report = Report([ConsoleSink(out)])
    with report.phase("tag", 2) as phase:
        phase.advance(0)
        phase.advance(0)
        report.problem(DataError(where="a.png", what="It cannot be read.", why="It is empty.", fix="Take it away."))
        phase.advance(2)
    report.warning("Careful.")
    report.tell("result", written=1, unchanged=0, failed=1)
    report.tell("ended", code=20, state="stopped", reason="Stopped on request.")
    assert out.getvalue().splitlines() == [
        "tag: 0 of 2",
        "a.png: It cannot be read.",
        "  It is empty.",
        "  Take it away.",
        "tag: 2 of 2",
        "Warning: Careful.",
        "1 written, 0 left as they are, 1 failed.",
        "Stopped on request.",
    ]
