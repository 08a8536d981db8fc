import pytest
from recipes import training


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return training.base_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.data_folder(tmp_path_factory.mktemp("学習 データ (1)") / "data")


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "tanren data"))
