import pytest
from jobs.light_trainer import clear, light_trainer
from tanren.jobs.folder import DEVICE_LOCK_VARIABLE, NONCE_VARIABLE
from tanren.jobs.shelf import Shelf


@pytest.fixture(autouse=True)
def no_job_around_the_tests(monkeypatch):
    monkeypatch.delenv(NONCE_VARIABLE, raising=False)
    monkeypatch.delenv(DEVICE_LOCK_VARIABLE, raising=False)


@pytest.fixture
def shelf(tmp_path):
    shelf = Shelf(tmp_path / "データ")
    yield shelf
    clear(shelf)


@pytest.fixture
def program(tmp_path):
    return light_trainer(tmp_path)


@pytest.fixture
def submit(shelf):
    """Submit a job that trains for long, unless it is told otherwise."""

    def submit(name="cat", manner="", device=None, **options):
        options = {"training_comment": manner, **options} if manner else options
        return shelf.submit("train_network", options, name=name, request_id="", device=device)

    return submit
