#![allow(clippy::unreadable_literal, reason = "figures as they are published")]

use super::*;

/// NIST StRD, linear regression, Longley: employment by six figures of the economy, 1947 to 1962.
const LONGLEY: [[f64; 7]; 16] = [
    [60323.0, 83.0, 234_289.0, 2356.0, 1590.0, 107_608.0, 1947.0],
    [61122.0, 88.5, 259_426.0, 2325.0, 1456.0, 108_632.0, 1948.0],
    [60171.0, 88.2, 258_054.0, 3682.0, 1616.0, 109_773.0, 1949.0],
    [61187.0, 89.5, 284_599.0, 3351.0, 1650.0, 110_929.0, 1950.0],
    [63221.0, 96.2, 328_975.0, 2099.0, 3099.0, 112_075.0, 1951.0],
    [63639.0, 98.1, 346_999.0, 1932.0, 3594.0, 113_270.0, 1952.0],
    [64989.0, 99.0, 365_385.0, 1870.0, 3547.0, 115_094.0, 1953.0],
    [63761.0, 100.0, 363_112.0, 3578.0, 3350.0, 116_219.0, 1954.0],
    [66019.0, 101.2, 397_469.0, 2904.0, 3048.0, 117_388.0, 1955.0],
    [67857.0, 104.6, 419_180.0, 2822.0, 2857.0, 118_734.0, 1956.0],
    [68169.0, 108.4, 442_769.0, 2936.0, 2798.0, 120_445.0, 1957.0],
    [66513.0, 110.8, 444_546.0, 4681.0, 2637.0, 121_950.0, 1958.0],
    [68655.0, 112.6, 482_704.0, 3813.0, 2552.0, 123_366.0, 1959.0],
    [69564.0, 114.2, 502_601.0, 3931.0, 2514.0, 125_368.0, 1960.0],
    [69331.0, 115.7, 518_173.0, 4806.0, 2572.0, 127_852.0, 1961.0],
    [70551.0, 116.9, 554_894.0, 4007.0, 2827.0, 130_081.0, 1962.0],
];

/// NIST StRD, linear regression, Filip: a polynomial of degree 10, which many programs refuse.
const FILIP: [(f64, f64); 82] = [
    (0.8116, -6.860120914),
    (0.9072, -4.324130045),
    (0.9052, -4.358625055),
    (0.9039, -4.358426747),
    (0.8053, -6.955852379),
    (0.8377, -6.661145254),
    (0.8667, -6.355462942),
    (0.8809, -6.118102026),
    (0.7975, -7.115148017),
    (0.8162, -6.815308569),
    (0.8515, -6.519993057),
    (0.8766, -6.204119983),
    (0.8885, -5.853871964),
    (0.8859, -6.109523091),
    (0.8959, -5.79832982),
    (0.8913, -5.482672118),
    (0.8959, -5.171791386),
    (0.8971, -4.851705903),
    (0.9021, -4.517126416),
    (0.909, -4.143573228),
    (0.9139, -3.709075441),
    (0.9199, -3.499489089),
    (0.8692, -6.300769497),
    (0.8872, -5.953504836),
    (0.89, -5.642065153),
    (0.891, -5.031376979),
    (0.8977, -4.680685696),
    (0.9035, -4.329846955),
    (0.9078, -3.928486195),
    (0.7675, -8.56735134),
    (0.7705, -8.363211311),
    (0.7713, -8.107682739),
    (0.7736, -7.823908741),
    (0.7775, -7.522878745),
    (0.7841, -7.218819279),
    (0.7971, -6.920818754),
    (0.8329, -6.628932138),
    (0.8641, -6.323946875),
    (0.8804, -5.991399828),
    (0.7668, -8.781464495),
    (0.7633, -8.663140179),
    (0.7678, -8.473531488),
    (0.7697, -8.247337057),
    (0.77, -7.971428747),
    (0.7749, -7.676129393),
    (0.7796, -7.352812702),
    (0.7897, -7.072065318),
    (0.8131, -6.774174009),
    (0.8498, -6.478861916),
    (0.8741, -6.159517513),
    (0.8061, -6.835647144),
    (0.846, -6.53165267),
    (0.8751, -6.224098421),
    (0.8856, -5.910094889),
    (0.8919, -5.598599459),
    (0.8934, -5.290645224),
    (0.894, -4.974284616),
    (0.8957, -4.64454848),
    (0.9047, -4.290560426),
    (0.9129, -3.885055584),
    (0.9209, -3.408378962),
    (0.9219, -3.13200249),
    (0.7739, -8.726767166),
    (0.7681, -8.66695597),
    (0.7665, -8.511026475),
    (0.7703, -8.165388579),
    (0.7702, -7.886056648),
    (0.7761, -7.588043762),
    (0.7809, -7.283412422),
    (0.7961, -6.995678626),
    (0.8253, -6.691862621),
    (0.8602, -6.392544977),
    (0.8809, -6.067374056),
    (0.8301, -6.684029655),
    (0.8664, -6.378719832),
    (0.8834, -6.065855188),
    (0.8898, -5.752272167),
    (0.8964, -5.132414673),
    (0.8963, -4.811352704),
    (0.9074, -4.098269308),
    (0.9119, -3.66174277),
    (0.9228, -3.2644011),
];

fn agrees(seen: f64, certified: f64, relative: f64) {
    assert!((seen / certified - 1.0).abs() < relative, "{seen} is not {certified}");
}

fn longley() -> (Vec<f64>, Vec<Column>) {
    let names = ["deflator", "gnp", "unemployed", "forces", "population", "year"];
    let column = |n: usize| LONGLEY.iter().map(|row| row[n]).collect();
    (column(0), names.iter().enumerate().map(|(n, name)| Column::new(*name, column(n + 1))).collect())
}

#[test]
fn nist_longley_is_as_certified() {
    let (target, columns) = longley();
    let seen = ols("employed", &target, &columns, &OlsSettings::default(), &()).unwrap();
    let certified = [
        (-3_482_258.634_595_82, 890_420.383_607_373),
        (15.061_872_271_373_3, 84.914_925_774_774_3),
        (-0.358_191_792_925_910e-1, 0.334_910_077_722_432e-1),
        (-2.020_229_803_816_83, 0.488_399_681_651_699),
        (-1.033_226_867_173_59, 0.214_274_163_161_675),
        (-0.511_041_056_535_807e-1, 0.226_073_200_069_370),
        (1_829.151_464_613_55, 455.478_499_142_212),
    ];
    for (seen, (estimate, error)) in seen.coefficients.iter().zip(certified) {
        agrees(seen.estimate, estimate, 1e-10);
        agrees(seen.error, error, 1e-10);
    }
    agrees(seen.residual_sd, 304.854_073_561_965, 1e-10);
    agrees(seen.r2, 0.995_479_004_577_296, 1e-13);
    let f = seen.f.unwrap();
    agrees(f.f, 330.285_339_234_588, 1e-9);
    assert_eq!((f.df1, f.df2, seen.rows), (6, 9, 16));
    agrees(seen.durbin_watson.unwrap(), 2.559_487_688_892_25, 1e-8);
    // Known of these data: nearly collinear, the deflator and the product most of all.
    assert!(seen.coefficients[2].vif.unwrap() > 1_700.0 && seen.condition_number.unwrap() > 40_000.0);
}

#[test]
fn nist_filip_is_fitted_where_it_is_asked_for() {
    let target: Vec<f64> = FILIP.iter().map(|(y, _)| *y).collect();
    let power = |n: i32| FILIP.iter().map(|(_, x)| x.powi(n)).collect();
    let columns: Vec<Column> = (1..=10).map(|n| Column::new(format!("x{n}"), power(n))).collect();
    let exact = OlsSettings { tolerance: 1e-14, ..OlsSettings::default() };
    let seen = ols("y", &target, &columns, &exact, &()).unwrap();
    agrees(seen.coefficients[0].estimate, -1_467.489_614_229_80, 1e-6);
    agrees(seen.coefficients[0].error, 298.084_530_995_537, 1e-6);
    agrees(seen.coefficients[10].estimate, -0.402_962_525_080_404e-4, 1e-6);
    agrees(seen.residual_sd, 0.334_801_051_324_544e-2, 1e-8);
    agrees(seen.r2, 0.996_727_416_185_620, 1e-9);
}

#[test]
fn columns_that_others_say_and_those_that_never_change_are_left_out_and_told() {
    let (target, mut columns) = longley();
    let twice = columns[1].values.iter().zip(&columns[0].values).map(|(a, b)| 2.0 * a - b).collect();
    columns.insert(2, Column::new("twice", twice));
    columns.insert(0, Column::new("always", vec![3.0; 16]));
    let seen = ols("employed", &target, &columns, &OlsSettings::default(), &()).unwrap();
    let dropped: Vec<(&str, Vec<&str>)> = seen
        .dropped
        .iter()
        .map(|one| (one.name.as_str(), one.said_by.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(dropped, [("always", vec!["intercept"]), ("twice", vec!["deflator", "gnp"])]);
    agrees(seen.coefficient("year").unwrap().estimate, 1_829.151_464_613_55, 1e-9);
}

/// By statsmodels 0.14.4: `OLS(...).fit(cov_type="HC3", use_t=True)`, and `"HAC"` with `maxlags=2, use_correction=True`.
#[test]
fn robust_errors_are_those_of_statsmodels() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
    let y = [2.1, 3.9, 6.2, 7.8, 10.5, 11.6, 14.9, 15.2, 19.4, 18.7];
    let column = || [Column::new("x", x.to_vec())];
    let with = |errors| OlsSettings { errors, ..OlsSettings::default() };
    let hc3 = ols("y", &y, &column(), &with(Errors::Hc3), &()).unwrap();
    agrees(hc3.coefficients[0].error, HC3_SAID[0], 1e-9);
    agrees(hc3.coefficients[1].error, HC3_SAID[1], 1e-9);
    let hac = |positions| ols("y", &y, &column(), &with(Errors::Hac { lags: 2, positions }), &()).unwrap();
    let seen = hac(None);
    agrees(seen.coefficients[0].error, HAC_SAID[0], 1e-9);
    agrees(seen.coefficients[1].error, HAC_SAID[1], 1e-9);
    assert_eq!(seen.errors, ErrorsUsed::Hac { lags: 2 });
    // Days without gaps are rows.
    assert_eq!(hac(Some((100..110).collect())).coefficients, seen.coefficients);
    // Rows further apart than the lags are alike in nothing: White's errors with the same correction.
    let apart = hac(Some((0..10).map(|n| n * 5).collect()));
    assert!(apart.coefficients[1].error != seen.coefficients[1].error);
    let none = ols("y", &y, &column(), &with(Errors::Hac { lags: 0, positions: None }), &()).unwrap();
    assert_eq!(apart.coefficients, none.coefficients);
}

const HC3_SAID: [f64; 2] = [0.478_254_285_793_582_3, 0.135_307_427_788_584_76];
const HAC_SAID: [f64; 2] = [0.223_539_672_934_453_4, 0.060_364_502_516_961_786];

#[test]
fn input_that_cannot_be_used_is_named() {
    let say = |target: &[f64], columns: &[Column]| {
        ols("price", target, columns, &OlsSettings::default(), &()).unwrap_err().to_string()
    };
    let rain = |values: &[f64]| Column::new("rain", values.to_vec());
    let four = [1.0, 2.0, 4.0, 3.0];
    assert!(say(&[], &[]).contains("\"price\" has no value"), "{}", say(&[], &[]));
    assert!(say(&[5.0; 4], &[rain(&four)]).contains("\"price\" is 5 in all of the 4 rows"));
    assert!(say(&[0.1 + 0.2, 0.3, 0.3], &[rain(&four[..3])]).contains("in all of the 3 rows"));
    assert!(say(&four, &[rain(&[0.0; 4])]).contains("no column that changes"));
    assert!(say(&four, &[rain(&four[1..])]).contains("\"rain\" has 3 values where the target has 4"));
    assert!(say(&four[..2], &[rain(&[1.0, 2.0])]).contains("2 rows in which"));
    assert!(say(&[1.0], &[rain(&[1.0])]).contains("in all of the 1 rows"));
    let nan = say(&four, &[rain(&[0.0, f64::NAN, 1.0, 2.0])]);
    assert!(nan.starts_with("value 2 of \"rain\" is NaN"), "{nan}");
    let settings = OlsSettings { confidence: 1.0, ..OlsSettings::default() };
    let error = ols("y", &four, &[rain(&four)], &settings, &()).unwrap_err();
    assert_eq!(error.to_string(), "confidence is 1; it must be above 0 and below 1");
}

#[test]
fn a_target_that_is_fitted_exactly_has_no_probability_and_no_nan() {
    let x = Column::new("x", vec![1.0, 2.0, 3.0, 4.0, 5.0]);
    let one_row = Column::new("third", vec![0.0, 0.0, 1.0, 0.0, 0.0]);
    for errors in [Errors::Classical, Errors::Hc3, Errors::Hac { lags: 2, positions: None }] {
        let settings = OlsSettings { errors, ..OlsSettings::default() };
        let seen =
            ols("y", &[2.0, 4.0, 7.5, 8.0, 10.0], &[x.clone(), one_row.clone()], &settings, &()).unwrap();
        assert!((seen.coefficients[1].estimate - 2.0).abs() < 1e-12);
        let json = serde_json::to_string(&seen).unwrap();
        let finite = |c: &Coefficient| {
            [c.estimate, c.error, c.classical_error].iter().all(|value| value.is_finite())
                && [c.t, c.p, c.low, c.high, c.beta, c.vif].iter().flatten().all(|value| value.is_finite())
        };
        assert!(seen.coefficients.iter().all(finite), "{json}");
    }
}

#[test]
fn a_cancel_is_heard() {
    let (target, columns) = longley();
    let flag = std::sync::atomic::AtomicBool::new(true);
    let error = ols("y", &target, &columns, &OlsSettings::default(), &flag).unwrap_err();
    assert_eq!(error, StatisticsError::Cancelled);
}

#[test]
fn what_columns_say_beyond_others_is_tested_together() {
    let (target, columns) = longley();
    let settings = OlsSettings::default();
    let all = ols("employed", &target, &columns, &settings, &()).unwrap();
    let some = ols("employed", &target, &columns[..5], &settings, &()).unwrap();
    let (test, share) = all.beyond(&some).unwrap();
    let year = all.coefficient("year").unwrap();
    // Of one column it is the square of t, and the partial R².
    agrees(test.f, year.t.unwrap().powi(2), 1e-8);
    agrees(share, year.partial_r2.unwrap(), 1e-8);
    assert_eq!(some.beyond(&all), None);
}
