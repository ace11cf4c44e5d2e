"""HTTP sources in, one checked file out: streaming, resumed by Range, bounded in retries.

Nothing appears under the final name before its size and content have been checked.
"""

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FuturesTimeoutError
from contextlib import suppress
from urllib.parse import urljoin

import requests
from tqdm import tqdm  # its automatic kind is a widget in notebooks, unseen under `make run`
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

TIMEOUT = (10, 30)  # seconds: to connect, and for each read; a slow source may take hours in all
ATTEMPTS = 4  # per source
PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
LONGEST_PAUSE = 60.0  # seconds, where a source asks for more
CHUNK = 1 << 18  # bytes
LARGEST = 1 << 30  # bytes of a file whose size nobody knows; CIFAR-10's archive has a sixth of it
# What no further attempt mends: a bad certificate, a loop, and (ValueError) a URL that is none.
FINAL = (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError)


class SourceError(Exception):
    """A source that answered with something that trying again won't mend."""


def fetch(urls, destination, check, *, size=None):
    """Download one file from the first of several sources that has it right.

    Parameters
    ----------
    urls : sequence of str
        Sources of the same bytes, in order of preference; a resume may go on at the next one.
    destination : pathlib.Path
        Where the file goes; it grows as ``<name>.part`` beside it.
    check : callable
        Called with the finished part file; raises ValueError if the content is wrong.
    size : int, optional
        Expected size in bytes, 1 GiB at most if it is not known; a source that sends more is left.

    Raises
    ------
    ConnectionError
        If no source gave the right file; the message says what each of them answered.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(destination.name + ".part")
    answers = []
    for url in urls:
        try:
            _download_checked(url, part, check, size)
            part.replace(destination)
            return
        except (requests.RequestException, SourceError, ValueError) as error:
            answers.append(f"{url}: {explain(error)}")
    raise ConnectionError(
        "no source gave the archive:\n  " + "\n  ".join(answers) + "\nDownload it by hand, "
        f"put it at {destination}, or pass its path instead of a URL."
    )


def any_source_answers(urls, seconds=20):
    """Tell whether one of `urls` (sequence of str) answers within `seconds` (float).

    If none does, print what each of them said.
    """
    pool = ThreadPoolExecutor(len(urls))
    probes = {pool.submit(_refusal, url, seconds / 2): url for url in urls}
    reasons = dict.fromkeys(urls, f"no answer within {seconds:g} seconds")
    try:
        for probe in as_completed(probes, timeout=seconds):
            reasons[probes[probe]] = probe.result()
            if probe.result() is None:
                return True
    except FuturesTimeoutError:
        pass
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    print("No source answers:", *(f"{url}: {why}" for url, why in reasons.items()), sep="\n  ")
    return False


def _refusal(url, timeout):
    """Return why nothing can be fetched from `url` (str), or None if it answers."""
    try:
        with requests.get(url, stream=True, timeout=timeout) as response:
            if not response.ok:
                return f"HTTP {response.status_code} {response.reason}"
            if "html" in response.headers.get("Content-Type", ""):
                return "a web page instead of an archive; there may be a page to log in to"
            return None
    except (requests.RequestException, ValueError) as error:
        return explain(error)


def explain(error):
    """Return what `error` (Exception) says, with the remedy where it is known."""
    text = str(error)
    if "SOCKS" in text:
        return f"{text} Install it: pip install 'requests[socks]'"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{text}; name your network's certificates: export REQUESTS_CA_BUNDLE=/path/to.pem"
    if "407" in text:
        return f"{text}; put name and password into HTTPS_PROXY: http://name:password@host:port"
    return text


def _download_checked(url, part, check, size):
    """Download to `part` and check it; wrong content is deleted and asked for once more."""
    for last in (False, True):  # a part file of something else may be to blame the first time
        _download(url, part, size)
        try:
            return check(part)
        except ValueError:
            part.unlink()
            if last:
                raise


def _download(url, part, size):
    for attempt in range(ATTEMPTS):
        try:
            return _stream(url, part, size)
        except FINAL:
            raise
        except requests.RequestException as error:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(_pause(attempt, error.response))


def _pause(attempt, response):
    """Return the seconds that the source asks for, or longer ones with each attempt."""
    asked = None
    if response is not None:
        with suppress(InvalidHeader):
            asked = Retry().get_retry_after(response.raw)
    return PAUSE * 2**attempt if asked is None else min(asked, LONGEST_PAUSE)


def _stream(url, part, size):
    """Append the missing bytes to `part`, or start it over where the source can't resume."""
    limit = LARGEST if size is None else size
    start = part.stat().st_size if part.exists() else 0
    if size is not None and start == size:
        return
    if size is not None and start > size:
        part.unlink()
        start = 0
    headers = {"Accept-Encoding": "identity"}  # the archive's own bytes, not a re-compression
    if start:
        headers["Range"] = f"bytes={start}-"
    options = {"stream": True, "timeout": TIMEOUT, "hooks": {"response": _stay_secure}}
    with requests.get(url, headers=headers, **options) as response:
        _refuse(response, part)
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        start = start if response.status_code == 206 and resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else size
        with (
            open(part, "ab" if start else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc="download") as bar,
        ):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > limit:
                    break
    length = part.stat().st_size
    if length > limit:
        part.unlink()
        raise SourceError(f"sends more than {limit:,} bytes")
    if total and length != total:
        raise requests.ConnectionError(f"ended at {length:,} of {total:,} bytes")


def _stay_secure(response, **_):
    """Raise SourceError before a redirect from https to anything else is followed."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.url.startswith("https:") and not target.startswith("https:"):
        raise SourceError(f"redirects to {target}, which is not https")


def _refuse(response, part):
    """Raise SourceError for answers that are final, RequestException for those worth a retry."""
    status = response.status_code
    if status == 416:  # the part file doesn't fit this source's file
        part.unlink(missing_ok=True)
        raise requests.HTTPError("HTTP 416, range not satisfiable; starting over")
    if 400 <= status < 500 and status not in (408, 429):
        raise SourceError(f"HTTP {status} {response.reason}")
    response.raise_for_status()
    if "html" in response.headers.get("Content-Type", ""):
        raise SourceError("sent a web page instead of an archive")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise SourceError(f"sent the archive as {response.headers['Content-Encoding']}")
