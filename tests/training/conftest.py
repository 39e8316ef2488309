import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="needs usbrec[train]")
pytest.importorskip("peft", reason="needs usbrec[train]")
torch.set_num_threads(1)

from tiny_models import make_tiny_model  # noqa: E402


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A tiny random Llama with a chat template, as a Hugging Face folder."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Digests of tiny models need not outlive the tests; a real model is still found where the user's cache has it."""
    from usbrec import models

    known = models.path_of(models.KNOWN[models.DEFAULT])
    folder = tmp_path_factory.mktemp("cache")
    if known.exists():
        (folder / "models").mkdir()
        (folder / "models" / known.name).symlink_to(known)
    before = os.environ.get("USBREC_CACHE")
    os.environ["USBREC_CACHE"] = str(folder)
    yield
    os.environ.pop("USBREC_CACHE")
    if before is not None:
        os.environ["USBREC_CACHE"] = before
