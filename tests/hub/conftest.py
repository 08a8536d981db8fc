import pytest
from hub.hub_server import HubServer


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """No token, login or address of this machine, and nothing that an earlier run in this process has set."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    # What a run sets for itself is taken back after the test.
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "tanren data"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that this machine's library finds, with a token that may write."""
    with HubServer() as server:
        for name, value in server.environment(tmp_path / "hf home").items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    # Imported here: most tests of this folder do without torch.
    from recipes import training

    return training.base_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from recipes import training

    return training.data_folder(tmp_path_factory.mktemp("学習 データ (1)") / "data", repeats=1)
