import pytest
from recipes import training
from tanren.models.micro import micro_sd_path


@pytest.fixture(scope="session")
def micro():
    """The embedded model."""
    return micro_sd_path()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder as `--train_data_dir` wants it: PNG, JPEG on its side, WebP, of mixed sizes, with captions."""
    return training.data_folder(tmp_path_factory.mktemp("学習 データ") / "my pictures")


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "tanren data"))
