"""The commands on event files: simulate, statistics, inspect, display, convert. Each is a dataclass of its
options, whose docstring is the command's help and which rejects bad values when constructed, and a function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sscn_triton.common.errors import Interrupted, RunError
from sscn_triton.common.files import WriteError, check_new, write_whole
from sscn_triton.common.options import check_least, check_size, check_suffix
from sscn_triton.common.progress import Progress
from sscn_triton.lartpc.files.reading_options import ReadingOptions


@dataclass(frozen=True)
class Simulate:
    """Simulate liquid-argon events into a file.

    Event i of a seed is the same event on any machine, with any number of workers. An interrupted command, started
    again with the same options, continues where it stopped.

    Args:
        out: new file to write, in PILArNet-M's HDF5 layout.
        events: number of events.
        size: edge of the image in voxels of 3 mm, 8 to 4096.
        seed: seed of the sequence of events.
        workers: number of processes.
        overwrite: replace an existing file, once the new one is complete.
    """

    out: str = "events.h5"
    events: int = 1000
    size: int = 192
    seed: int = 0
    workers: int = 1
    overwrite: bool = False

    def __post_init__(self) -> None:
        from sscn_triton.lartpc.simulation.production import remove_journal

        check_least(self, events=1, seed=0, workers=1)
        check_size(self.size)
        check_suffix("out", self.out, (".h5", ".hdf5"))
        remove_journal(self.out)
        check_new("out", self.out, self.overwrite)


def simulate(options: Simulate) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from sscn_triton.lartpc.simulation.production import simulate_file

    size, workers = options.size, options.workers
    try:
        with Progress("simulating events", options.events) as progress:

            def show(done: int) -> None:
                progress.to(done, f"{done} of {options.events}")

            rate = simulate_file(
                options.out,
                options.events,
                seed=options.seed,
                size=size,
                workers=workers,
                overwrite=options.overwrite,
                progress=show,
            )
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_kept(options)}") from None
    except BrokenProcessPool:
        raise RunError(f"a worker was killed, perhaps because memory ran out; {_kept(options)}") from None
    except (WriteError, FileExistsError) as error:
        raise RunError(f"{error}; {_kept(options)}") from error
    speed = (
        f"{rate:.1f} events per second, {workers} worker{'s' if workers > 1 else ''}" if rate else "already complete"
    )
    print(f"{options.out}: {options.events} events ({speed})")


def _kept(options: Simulate) -> str:
    from sscn_triton.lartpc.simulation.production import kept_events, unfinished_file

    kept = kept_events(options.out)
    if not kept:
        return "no event was kept"
    place = unfinished_file(options.out)
    return f"{kept} of {options.events} events are kept in {place}; the same command continues from there"


@dataclass(frozen=True)
class Statistics(ReadingOptions):
    """Compare simulated events with those of a file, in numbers.

    The command writes a page that compares voxels, occupancy, texture, class shares and tracks, with mean and median.

    Args:
        file: event file, in any format that `sscn inspect` reads, such as one of PILArNet's.
        out: new HTML page to write; it needs no network.
        events: number of events to simulate.
        size: edge of the simulated images in voxels of 3 mm, 8 to 4096.
        seed: seed of the sequence of simulated events.
        overwrite: replace an existing file, once the new one is complete.
    """

    file: str
    out: str = "statistics.html"
    events: int = 1000
    size: int = 192
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_least(self, events=1, seed=0)
        check_size(self.size)
        check_suffix("out", self.out, (".html",))
        check_new("out", self.out, self.overwrite)


def statistics(options: Statistics) -> None:
    from sscn_triton.lartpc.numbers.statistics_page import compare_with_simulated

    with Progress("simulating events", options.events) as progress:
        page = compare_with_simulated(
            options.file, options.seed, options.events, options.size, progress.to, options.reading()
        )
    write_whole(options.out, page, overwrite=options.overwrite)
    print(f"page: {options.out}")


@dataclass(frozen=True)
class Inspect(ReadingOptions):
    """Summarise an event file: counts, occupancy, class shares, energies.

    The command reads larcv2 ROOT, larcv3 HDF5, PILArNet-M HDF5 and Parquet, npz and CSV.

    Args:
        file: the event file.
        out: new HTML page; the command writes the summary to it and also prints it. The page needs no network.
        overwrite: replace an existing file, once the new one is complete.
    """

    file: str
    out: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.out is not None:
            check_suffix("out", self.out, (".html",))
            check_new("out", self.out, self.overwrite)


def inspect(options: Inspect) -> None:
    from sscn_triton.lartpc import open_events
    from sscn_triton.lartpc.numbers.inspection import inspect_events

    reading = options.reading()
    with open_events(options.file, **reading) as events, Progress("reading events", len(events)) as progress:
        inspection = inspect_events(events, Path(options.file).name, progress.to)
    print(inspection.text())
    if options.out is not None:
        write_whole(options.out, inspection.page(), overwrite=options.overwrite)
        print(f"\npage: {options.out}")


@dataclass(frozen=True)
class Display(ReadingOptions):
    """Draw an event: an interactive page, or a static picture.

    Circles mark where particles first deposited energy, if the file contains these positions.

    Args:
        file: the event file, in any format that `sscn inspect` reads, or one labelled by `sscn predict`.
        event: number of the event in the file, from 0.
        color: what the colours show: energy (MeV, on a logarithmic scale), label, prediction, or difference (where
            prediction and label differ). If omitted, energy and label side by side, or label and prediction for a
            labelled file.
        project: wire plane (y, u or v) whose two-dimensional image to draw.
        labels: slides keeps the labels as they are; attached labels detached delta rays and Michel electrons as shower.
        out: new picture to write, .html (interactive, needs no network) or .png. If omitted, a page named after the
            file and the event, such as events-3.html.
        overwrite: replace an existing file, once the new one is complete.
    """

    file: str
    event: int = 0
    color: str | None = None
    project: str | None = None
    labels: str = "slides"
    out: str = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.out:
            object.__setattr__(self, "out", f"{Path(self.file).resolve().stem}-{self.event}.html")
        check_suffix("out", self.out, (".html", ".png"))
        _check_view(self.project, self.labels)
        if self.color not in (None, "energy", "label", "prediction", "difference"):
            raise ValueError(f"color must be energy, label, prediction or difference, got {self.color}")
        if self.event < 0:
            raise ValueError(f"event must be 0 or more, got {self.event}")
        check_new("out", self.out, self.overwrite)


def display(options: Display) -> None:
    from sscn_triton.lartpc import open_events
    from sscn_triton.lartpc.pictures.display import draw_event, event_html, plot_event, write_png

    with open_events(options.file, labels=options.labels, plane=options.project, **options.reading()) as events:
        if options.event >= len(events):
            raise ValueError(
                f"{options.file}: there is no event {options.event}; the file has {len(events)}, numbered from 0"
            )
        event = events[options.event]
    color: str | tuple[str, ...] = ("energy", "label") if event.prediction is None else ("label", "prediction")
    if options.color is not None:
        color = options.color
    if event.prediction is None and color in ("prediction", "difference"):
        raise ValueError(f"color={color} needs a file labelled by `sscn predict`, shown without `project`")
    out = Path(options.out)
    if out.suffix.lower() == ".png":
        write_png(draw_event(event, color), out, overwrite=options.overwrite)
    else:
        write_whole(out, event_html(plot_event(event, color)), overwrite=options.overwrite)
    print(f"picture: {options.out}")


@dataclass(frozen=True)
class Convert(ReadingOptions):
    """Copy events from one file format to another, one at a time.

    PILArNet-M stores all of a three-dimensional event, npz stores voxels, energies, labels and predictions, and CSV
    stores the first three.

    Args:
        source: the event file, in any format that `sscn inspect` reads.
        target: new file to write, .h5 (PILArNet-M), .npz or .csv.
        project: wire plane (y, u or v). The command writes its two-dimensional images (.npz or .csv) instead of the
            events.
        labels: slides keeps the labels as they are; attached labels detached delta rays and Michel electrons as shower.
        overwrite: replace an existing file, once the new one is complete.
    """

    source: str
    target: str
    project: str | None = None
    labels: str = "slides"
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_suffix("target", self.target, (".h5", ".hdf5", ".npz", ".csv"))
        check_new("target", self.target, self.overwrite)
        _check_view(self.project, self.labels)
        if self.project is not None and Path(self.target).suffix.lower() in (".h5", ".hdf5"):
            raise ValueError(f"target must end with .npz or .csv for images of a wire plane, got {self.target}")


def convert(options: Convert) -> None:
    from sscn_triton.lartpc import create_events, open_events

    with (
        open_events(options.source, labels=options.labels, plane=options.project, **options.reading()) as events,
        Progress("converting events", len(events)) as progress,
        create_events(options.target, like=events, overwrite=options.overwrite) as writer,
    ):
        for event in events:
            writer.append(event)
            progress.to(writer.count)
    print(f"{options.target}: {writer.count} events")


def _check_view(project: str | None, labels: str) -> None:
    from sscn_triton.lartpc import PLANES

    if project is not None and project not in PLANES:
        raise ValueError(f"project must be {' or '.join(PLANES)}, got {project}")
    if labels not in ("slides", "attached"):
        raise ValueError(f"labels must be slides or attached, got {labels}")
