"""From a command line to an exit code."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from model_files import write_model
from PIL import Image
from tanren.entry import main, stay_offline
from tanren.folders import durable_folder
from tanren.locks import Lock
from tanren.options.model import ModelOptions
from tanren.stop_signals import StopOnSignal

TRAINER = Path(__file__).parents[1] / "trainer"


def run(*argv, **environment):
    return subprocess.run(
        [sys.executable, str(TRAINER / "train_network.py"), *argv],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | environment,
    )


@pytest.fixture
def good(tmp_path):
    folder = tmp_path / "pictures" / "1_cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    (folder / "a.caption").write_text("a cat")
    model = write_model(tmp_path / "model.safetensors")
    return [
        f"--pretrained_model_name_or_path={model}",
        f"--train_data_dir={tmp_path / 'pictures'}",
        f"--output_dir={tmp_path / 'out'}",
        "--network_module=networks.lora",
        "--resolution=64",
    ]


def test_help_needs_neither_torch_nor_pillow():
    code = "import sys; sys.modules.update(dict.fromkeys(['torch', 'PIL', 'tqdm', 'numpy'])); "
    code += "from tanren.entry import main; sys.exit(main('train_network', ['--help']))"

    result = subprocess.run([sys.executable, "-c", code], cwd=TRAINER, capture_output=True, text=True, encoding="utf-8")

    assert result.returncode == 0, result.stderr
    assert "--network_dim INT" in result.stdout


@pytest.mark.rule("cfg-03")
def test_all_problems_are_shown_without_a_traceback_and_the_exit_code_is_the_lowest(capfd):
    assert main("train_network", ["--network_dmi=3", "--seed=x"]) == 2

    shown = capfd.readouterr().err
    assert "problems were found." in shown
    assert "Did you mean --network_dim?" in shown
    assert "'x' is not a whole number." in shown
    assert "--output_dir: The folder of the results was not named." in shown
    assert "Traceback" not in shown


def test_data_problem_alone_exits_with_3(good, tmp_path):
    (tmp_path / "pictures" / "1_cat" / "a.png").unlink()

    assert main("train_network", good) == 3


@pytest.mark.rule("img-01")
def test_more_problems_than_fit_on_a_screen_are_kept_in_a_file(good, tmp_path, capfd):
    for number in range(30):
        (tmp_path / "pictures" / "1_cat" / f"{number}.png").write_text("no picture")

    assert main("train_network", [*good, f"--data_dir={tmp_path / 'data'}"]) == 3

    shown, kept = capfd.readouterr().err, (tmp_path / "data" / "problems.txt").read_text(encoding="utf-8")
    assert shown.count("The picture cannot be read.") == 20
    assert "… and 10 more." in shown
    assert f"All 30 stand in {tmp_path / 'data' / 'problems.txt'}" in shown
    assert kept.count("The picture cannot be read.") == 30


@pytest.mark.rule("cfg-03")
def test_unknown_optimizer_is_told_before_the_model_is_loaded(good, capfd):
    # The model of this test cannot be loaded: it has a dozen tensors.
    assert main("train_network", good) == 4
    assert main("train_network", [*good, "--optimizer_type=AdamX"]) == 2

    assert "--optimizer_type: 'AdamX' is not a known optimizer" in capfd.readouterr().err


def test_script_runs_by_its_path_and_returns_the_code():
    result = run("--nonsense")

    assert result.returncode == 2
    assert "--nonsense: There is no such option." in result.stderr


@pytest.mark.option("output_config")
def test_output_config_writes_the_options_and_ends(tmp_path, capfd):
    path = tmp_path / "mine"

    assert main("train_network", ["--output_config", f"--config_file={path}", "--seed=3", "--wandb_api_key=k"]) == 0

    assert (tmp_path / "mine.toml").read_text() == "seed = 3\n"


@pytest.mark.rule("cfg-01")
def test_output_config_never_overwrites(tmp_path, capfd):
    (tmp_path / "mine.toml").write_text("seed = 1\n")

    assert main("train_network", ["--output_config", f"--config_file={tmp_path / 'mine'}", "--seed=3"]) == 2

    assert "The file exists already." in capfd.readouterr().err
    assert (tmp_path / "mine.toml").read_text() == "seed = 1\n"


@pytest.mark.option("debug_dataset")
def test_debug_dataset_lists_pictures_and_ends(good, capfd):
    assert main("train_network", [*good, "--debug_dataset"]) == 0

    listed = capfd.readouterr().out
    assert listed.endswith("a.png\t64x64\t×1\tfile\t'a cat'\n")


@pytest.mark.option("console_log_file")
def test_log_goes_to_a_file_when_asked(tmp_path, capfd):
    path = tmp_path / "logs" / "run.txt"

    main("train_network", [f"--console_log_file={path}", "--console_log_simple", "--wandb_api_key=sesame-sesame"])

    assert capfd.readouterr().err == ""
    text = path.read_text(encoding="utf-8")
    assert "use WANDB_API_KEY instead" in text
    assert "sesame" not in text


@pytest.mark.option("console_log_level")
@pytest.mark.parametrize(("words", "warnings"), [([], 1), (["--console_log_level=ERROR"], 0)])
def test_log_level_hides_warnings(good, capfd, words, warnings):
    main("train_network", [*good, "--zero_terminal_snr", "--debug_dataset", *words])

    assert capfd.readouterr().err.count("WARNING --zero_terminal_snr") == warnings


@pytest.mark.option("console_log_simple")
@pytest.mark.parametrize(("words", "is_simple"), [([], False), (["--console_log_simple"], True)])
def test_simple_lines_have_neither_time_nor_level(good, capfd, words, is_simple):
    main("train_network", [*good, "--zero_terminal_snr", "--debug_dataset", *words])

    lines = capfd.readouterr().err.splitlines()
    assert any(line.startswith("--zero_terminal_snr") for line in lines) is is_simple


def test_only_the_first_of_several_processes_tells_what_is_wrong_with_the_settings():
    assert "There is no such option." in run("--nonsense", RANK="0", WORLD_SIZE="2").stderr
    assert run("--cache_info", "--nonsense", RANK="1", WORLD_SIZE="2").stderr == ""


def test_first_signal_asks_to_stop_and_the_second_one_ends_the_process():
    before = signal.getsignal(signal.SIGTERM)
    with StopOnSignal() as signals:
        assert signals.asked() == set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.asked() == {"stop"}
        assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_signals_are_left_alone_outside_of_the_main_thread():
    seen = []

    def enter():
        with StopOnSignal() as signals:
            signals.listen(lambda: {"save"})
            seen.append(signals.asked())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [{"save"}]


@pytest.mark.rule("flt-03")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can write")
def test_output_folder_that_cannot_be_made_is_told_before_the_model_is_loaded(good, capfd):
    assert main("train_network", [*good, "--output_dir=/proc/nowhere"]) == 5

    assert "/proc/nowhere" in capfd.readouterr().err


@pytest.mark.rule("cfg-03")
def test_output_folder_that_is_a_file_is_a_problem_of_the_settings(good, tmp_path, capfd):
    (tmp_path / "out").write_text("a file where the folder should be")

    assert main("train_network", good) == 2

    assert "is a file.\n  Give a folder." in capfd.readouterr().err


@pytest.mark.rule("flt-11")
@pytest.mark.parametrize(
    ("model", "vae", "offline"),
    [
        ("m.safetensors", None, "1"),
        ("models/sd.safetensors", None, "1"),
        ("owner/name", None, "0"),
        ("m.ckpt", "owner/vae", "0"),
    ],
)
def test_libraries_ask_the_hub_only_when_a_model_is_named_by_its_id(monkeypatch, model, vae, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")

    stay_offline(ModelOptions(pretrained_model_name_or_path=model, vae=vae))

    assert os.environ["HF_HUB_OFFLINE"] == offline


@pytest.mark.rule("flt-01")
def test_what_a_killed_run_left_among_the_results_is_cleared_at_the_next_start(good, tmp_path, capfd):
    out = tmp_path / "out"
    state = out / "cat-state"
    out.mkdir()
    durable_folder(state, lambda part: (part / "a").write_text("whole"))
    (out / ".tn-0123abcd.tmp").write_text("half a file")
    state.rename(out / ".tn-89ef0123.old")

    assert main("train_network", [*good, "--debug_dataset"]) == 0

    assert "2 leftovers of a killed run were dealt with." in capfd.readouterr().err
    assert not (out / ".tn-0123abcd.tmp").exists()
    assert (state / "a").read_text() == "whole"


def job_result(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.mark.option("job_dir")
def test_job_writes_its_spec_its_log_and_how_it_ended(good, tmp_path, capfd):
    job = tmp_path / "job"
    (tmp_path / "pictures" / "1_cat" / "a.png").unlink()

    assert main("train_network", [*good, f"--job_dir={job}", "--wandb_api_key=sesame-sesame"]) == 3

    result = job_result(job)
    assert (result["code"], result["state"], result["attempt"]) == (3, "failed", 1)
    assert result["problem"]["code"] == 3
    spec = json.loads((job / "spec.json").read_text(encoding="utf-8"))
    assert spec["options"]["resolution"] == [64, 64]
    assert "No pictures were found" in (job / "log.txt").read_text(encoding="utf-8")
    assert not any("sesame" in path.read_text(encoding="utf-8") for path in job.iterdir() if path.is_file())


def test_job_made_elsewhere_takes_its_settings_from_its_spec(good, tmp_path, capfd):
    job = tmp_path / "job"
    options = dict(word.removeprefix("--").split("=") for word in good)
    write_job(job, {**options, "debug_dataset": True})

    assert main("train_network", [f"--job_dir={job}"]) == 0

    assert "a.png\t64x64" in capfd.readouterr().out
    assert job_result(job)["state"] == "completed"


@pytest.mark.rule("cfg-01")
def test_bad_spec_fails_the_job_with_the_nearest_name(good, tmp_path, capfd):
    job = tmp_path / "job"
    options = dict(word.removeprefix("--").split("=") for word in good)
    write_job(job, {**options, "netwrok_dim": 4})

    assert main("train_network", [f"--job_dir={job}"]) == 2

    assert job_result(job)["problem"]["fix"] == "Did you mean network_dim?"


@pytest.mark.rule("cfg-04")
def test_spec_of_a_newer_version_is_refused_with_the_version(tmp_path, capfd):
    job = tmp_path / "job"
    write_job(job, {}, version=99)

    assert main("train_network", [f"--job_dir={job}"]) == 2

    assert "newer version (format 99" in capfd.readouterr().err


def test_module_of_an_unknown_package_is_refused_when_it_stands_in_a_spec(good, tmp_path, capfd):
    job = tmp_path / "job"
    options = dict(word.removeprefix("--").split("=") for word in good)
    write_job(job, {**options, "network_module": "json", "optimizer_type": "json.JSONDecoder"})

    assert main("train_network", [f"--job_dir={job}"]) == 2

    assert [problem["where"] for problem in job_result(job)["problem"]["problems"]] == [
        "--optimizer_type",
        "--network_module",
    ]


@pytest.mark.rule("flt-08")
def test_job_that_runs_already_is_busy(good, tmp_path, capfd):
    job = tmp_path / "job"
    job.mkdir()
    lock = Lock(job / "job.lock").acquire(what="the job")
    try:
        assert main("train_network", [*good, f"--job_dir={job}", "--debug_dataset"]) == 9
    finally:
        lock.release()
    assert main("train_network", [*good, f"--job_dir={job}", "--debug_dataset"]) == 0


def write_job(folder, options, version=1):
    folder.mkdir()
    (folder / "spec.json").write_text(
        json.dumps({"version": version, "command": "train_network", "options": options}), encoding="utf-8"
    )
