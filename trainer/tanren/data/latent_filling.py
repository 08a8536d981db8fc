"""Encodes the pictures whose latents are not in the cache."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..disk import check_free_space
from ..errors import DataError, Problems
from ..events import Report
from ..formats.picture_header import PictureLimits, unreadable
from .buckets import Size
from .cache_pass import Crew, ahead, forget_damaged
from .latent_cache import DIGEST_BYTES, FLIPPED, MASK, PLAIN, LatentCache, PictureList, posterior_noise, to_float
from .preparation import PreparedPicture, Variation, prepare_picture
from .records import ImageRecord
from .store import FileFacts

MOST_TOLD = 20
WRITTEN_AT_ONCE = 64
Encode = Callable[[Tensor, Tensor], Tensor]
Digests = list[list["bytes | None"]]


@dataclass(frozen=True)
class EncodeRules:
    """How missing latents are made.

    Args:
        encode: (B, 3, H, W) pixels in -1..1 and (B, C, h, w) noise to (B, C, h, w) scaled latents.
        batch_size: pictures encoded at a time.
        limits: sizes of pictures that are refused.
        skip_bad: leave unreadable pictures out instead of stopping.
        trusting: take what is cached under a picture's name for its latents, without looking whether either changed.
    """

    encode: Encode
    batch_size: int
    limits: PictureLimits
    skip_bad: bool
    trusting: bool = False


def fill_latents(cache: LatentCache, rules: EncodeRules, report: Report, crew: Crew) -> list[DataError]:
    """Make what is missing and close the cache; returns what is wrong with the pictures that were left out.

    Raises:
        DataError: pictures that cannot be read or whose latents are not finite, unless they may be left out.
        StorageError: there is no room for the cache.
    """
    filling = _Filling(cache, rules, crew if cache.folder is not None else Crew(), report)
    filling.encode_missing()
    crew.wait()
    problems = Problems()
    for found in crew.gather(filling.problems.errors):
        for problem in found:
            problems.add(problem)
    if not rules.skip_bad:
        problems.raise_if_any()
    cache.close(filling.completed_digests())
    return [error for error in problems.errors if isinstance(error, DataError)]


class _Job(NamedTuple):
    part: PictureList
    record: ImageRecord


class _Opened(NamedTuple):
    """A picture read from its file, and what was known of the file then; or the problem with it."""

    job: _Job
    picture: PreparedPicture | None
    facts: list[tuple[str, FileFacts]]
    problem: DataError | None


class _Filling:
    """One pass over all pictures."""

    def __init__(self, cache: LatentCache, rules: EncodeRules, crew: Crew, report: Report) -> None:
        self.cache, self.rules, self.crew, self.report = cache, rules, crew, report
        self.problems = Problems()
        self._contents: dict[str, bytes] = {}
        self._keys: set[bytes] = set()
        self._digests: Digests = []
        self._unwritten: list[tuple[bytes, bytes]] = []
        self._seen: dict[str, list[tuple[str, FileFacts]]] = defaultdict(list)

    def encode_missing(self) -> None:
        """Encode this process's share of what is missing."""
        self._digests = self._known_digests()
        damaged = forget_damaged(self.cache.store, self._all_keys(), trusting=self.rules.trusting)
        self._keys = set(self.cache.store.entries())
        missing = list(self._missing())
        # Nobody writes before everybody has seen the same list.
        self.crew.wait()
        if self.cache.folder is not None:
            needed = sum(self.cache.bytes_of(job.part.plan, job.record) for job in missing)
            check_free_space(self.cache.folder, needed, what="The latent cache")
        try:
            self._encode_all(self.crew.share(missing))
        finally:
            self._write()
        total = sum(len(part.images) for part in self.cache.lists)
        if total > len(missing) or damaged:
            note = f"Latent cache: {total - len(missing)} of {total} pictures were there, {len(missing)} were encoded"
            self.report.note(f"{note} ({damaged} damaged values)." if damaged else f"{note}.")

    def completed_digests(self) -> Digests:
        """Content of each picture and its mask, after everybody has encoded; None for those that were left out."""
        facts: dict[str, dict[str, FileFacts]] = {}
        return [
            [
                self._digest(record, facts) if digest is None else digest
                for record, digest in zip(part.images, known, strict=True)
            ]
            for part, known in zip(self.cache.lists, self._digests, strict=True)
        ]

    def _known_digests(self) -> Digests:
        facts: dict[str, dict[str, FileFacts]] = {}
        return [[self._digest(record, facts) for record in part.images] for part in self.cache.lists]

    def _digest(self, record: ImageRecord, facts: dict[str, dict[str, FileFacts]]) -> bytes | None:
        digest = self._file_digest(record.path, facts)
        if digest is None or record.mask_path is None:
            return digest
        mask = self._file_digest(record.mask_path, facts)
        return None if mask is None else digest + mask

    def _file_digest(self, path: str, facts: dict[str, dict[str, FileFacts]]) -> bytes | None:
        if path in self._contents:
            return self._contents[path]
        folder, name = os.path.split(path)
        if folder not in facts:
            facts[folder] = self.cache.store.files(folder)
        known = facts[folder].get(name)
        if known is None or self.rules.trusting:
            return known and known.digest
        try:
            now = Path(path).stat()
        except OSError:
            return None
        return known.digest if (now.st_size, now.st_mtime_ns) == known[:2] else None

    def _all_keys(self) -> Iterator[bytes]:
        for part, known in zip(self.cache.lists, self._digests, strict=True):
            for record, digest in zip(part.images, known, strict=True):
                if digest is not None:
                    yield from self.cache.keys(part.plan, record, digest).values()

    def _missing(self) -> Iterator[_Job]:
        for part, known in zip(self.cache.lists, self._digests, strict=True):
            for record, digest in zip(part.images, known, strict=True):
                if digest is None or not self._keys.issuperset(self.cache.keys(part.plan, record, digest).values()):
                    yield _Job(part, record)

    def _encode_all(self, missing: Sequence[_Job]) -> None:
        threads = min(4, os.cpu_count() or 1)
        with self.report.phase("cache latents", len(missing)) as phase:
            for opened in ahead(self._open_batch, self._batches(missing), threads, depth=2 * threads):
                self._encode([one for one in opened if one.problem is None])
                for one in opened:
                    if one.problem is not None:
                        self.problems.add(one.problem)
                phase.advance(len(opened))
                if len(self.problems.errors) >= MOST_TOLD and not self.rules.skip_bad:
                    break

    def _batches(self, jobs: Sequence[_Job]) -> list[list[_Job]]:
        by_bucket: dict[Size, list[_Job]] = defaultdict(list)
        for job in jobs:
            by_bucket[job.record.bucket_wh].append(job)
        size = self.rules.batch_size
        return [group[n : n + size] for group in by_bucket.values() for n in range(0, len(group), size)]

    def _open_batch(self, jobs: list[_Job]) -> list[_Opened]:
        return [self._open(job) for job in jobs]

    def _open(self, job: _Job) -> _Opened:
        record, plan = job.record, job.part.plan
        try:
            stats = [(path, Path(path).stat()) for path in (record.path, record.mask_path) if path]
            variation = Variation(flipped=False, rng=None)
            picture = prepare_picture(record, plan, variation, self.rules.limits, self.cache.geometry.downscale)
        except DataError as error:
            return _Opened(job, None, [], error)
        except OSError as error:
            return _Opened(job, None, [], unreadable(record.path, f"The system says: {error.strerror or error}."))
        digests = [picture.digest[:DIGEST_BYTES], picture.digest[DIGEST_BYTES:]]
        facts = [
            (path, FileFacts(stat.st_size, stat.st_mtime_ns, digest))
            for (path, stat), digest in zip(stats, digests, strict=False)
        ]
        return _Opened(job, picture, facts, None)

    def _encode(self, opened: list[_Opened]) -> None:
        values = self._latents(opened, PLAIN) + self._latents(opened, FLIPPED) + self._masks(opened)
        self._keys.update(key for key, _ in values)
        self._unwritten += values
        for one in opened:
            for path, facts in one.facts:
                folder, name = os.path.split(path)
                self._seen[folder].append((name, facts))
                self._contents[path] = facts.digest
        if len(self._unwritten) >= WRITTEN_AT_ONCE:
            self._write()

    def _write(self) -> None:
        """One transaction for many values: each costs as much as encoding a small picture on a GPU."""
        self.cache.store.add(self._unwritten)
        for folder, files in self._seen.items():
            self.cache.store.remember(folder, files)
        self._unwritten = []
        self._seen.clear()

    def _wanted(self, opened: list[_Opened], variant: int) -> list[tuple[bytes, ImageRecord, PreparedPicture]]:
        wanted = {}
        for (part, record), picture, _, _ in opened:
            assert picture is not None
            key = self.cache.keys(part.plan, record, picture.digest).get(variant)
            if key is not None and key not in self._keys:
                wanted[key] = (key, record, picture)
        return list(wanted.values())

    def _latents(self, opened: list[_Opened], variant: int) -> list[tuple[bytes, bytes]]:
        wanted, flipped = self._wanted(opened, variant), variant == FLIPPED
        if not wanted:
            return []
        pixels = torch.stack([to_float(one.pixels[:, ::-1] if flipped else one.pixels) for _, _, one in wanted])
        geometry = self.cache.geometry
        noise = [posterior_noise(one.digest, record.bucket_wh, geometry, flipped=flipped) for _, record, one in wanted]
        latents = self.rules.encode(pixels, torch.stack(noise)).detach().to("cpu", torch.float32).contiguous()
        values = []
        for (key, record, _), value in zip(wanted, latents, strict=True):
            if torch.isfinite(value).all():
                values.append((key, value.numpy().tobytes()))
            else:
                self.problems.add(_not_finite(record.path))
        return values

    def _masks(self, opened: list[_Opened]) -> list[tuple[bytes, bytes]]:
        wanted = self._wanted(opened, MASK)
        return [(key, b"" if one.mask is None else one.mask.tobytes()) for key, _, one in wanted]


def _not_finite(path: str) -> DataError:
    return DataError(
        where=path,
        what="The VAE made NaN or infinity of this picture.",
        why="In half precision some VAEs overflow on some pictures.",
        fix="Use --no_half_vae, or another --vae.",
    )
