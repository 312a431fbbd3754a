"""Provisional: replaced by the real harness."""
import hashlib, random, tomllib
from pathlib import Path
import pytest

ROOT = Path(__file__).parent.parent

def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=0)
    parser.addoption("--device", default="cpu")
    parser.addoption("--fashion-mnist", default=None)

def pytest_configure(config):
    config.addinivalue_line("markers", "claim(*ids, truth=False): claims this test tries")
    config.addinivalue_line("markers", "cpu: about the CPU, whatever --device names")
    config.addinivalue_line("markers", "cuda: needs CUDA by name")
    config.register_ = {c["id"]: c for p in sorted(ROOT.glob("ch*/claims.toml")) for c in tomllib.loads(p.read_text("utf8"))["claim"]}

def _v(s): return tuple(int(x) for x in s.split("+")[0].split(".")[:2])

def pytest_collection_modifyitems(config, items):
    import torch
    now = _v(torch.__version__)
    seen = {}
    for item in items:
        for mark in item.iter_markers("claim"):
            for id in mark.args:
                c = config.register_[id]
                truth = mark.kwargs.get("truth", False)
                seen.setdefault(id, set()).add(truth)
                old = "until" in c and now < _v(c["until"])
                if not truth and (c["verdict"] == "mistaken" or (c["verdict"] == "superseded" and not old) or ("since" in c and now < _v(c["since"]))):
                    item.add_marker(pytest.mark.xfail(strict=True, raises=(AssertionError, pytest.fail.Exception), reason=id))
                if truth and c["verdict"] == "superseded" and old:
                    item.add_marker(pytest.mark.skip(reason="not applicable"))
                if c.get("needs") in ("cuda", "two-devices") : item.add_marker(pytest.mark.skip(reason=c["needs"]))
    missing = [i for i, c in config.register_.items() if False not in seen.get(i, ()) or ("truth" in c and True not in seen.get(i, ()))]
    config.stub_missing = missing

def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.line("claims without their tests in this run: " + ", ".join(getattr(config, "stub_missing", [])))

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    import torch, numpy
    n = int.from_bytes(hashlib.sha256(f"{item.config.option.seed} {item.nodeid}".encode()).digest()[:4], "big")
    if getattr(item.obj, "is_hypothesis_test", False):
        import hypothesis
        hypothesis.seed(n)(item.obj)
    state = torch.get_rng_state(), numpy.random.get_state(), random.getstate(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    torch.manual_seed(n); numpy.random.seed(n); random.seed(n)
    yield
    torch.set_rng_state(state[0]); numpy.random.set_state(state[1]); random.setstate(state[2]); torch.set_default_dtype(state[3]); torch.set_grad_enabled(state[4]); torch.set_num_threads(state[5])

@pytest.fixture(scope="session")
def device(request):
    import torch
    return torch.device(request.config.option.device)

@pytest.fixture(scope="session")
def accelerator(device):
    if device.type == "cpu":
        pytest.skip("not tried: needs an accelerator")
    return device

@pytest.fixture(scope="session")
def two_devices(accelerator):
    pytest.skip("not tried: needs two devices")

def pytest_sessionstart(session):
    try:
        from hypothesis import settings
        settings.register_profile("spec", max_examples=25, deadline=None, database=None)
        settings.load_profile("spec")
    except ImportError: pass
