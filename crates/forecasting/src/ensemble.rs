//! How the models are put together: each weighs by its errors in the backtest, to the power of -2, as if their errors were independent (Bates
//! & Granger 1969). A model much worse than the best is left out: it would only add its errors.

use crate::backtest::Fold;

/// How much worse than the best a model may be.
const WORSE_MAX: f64 = 1.5;

/// Folds in which a model must have had something to say, of all.
const SHARE_MIN: f64 = 0.5;

/// Why a model has no part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LeftOut {
    /// It could say nothing, or too rarely to be judged.
    Silent { folds: usize },
    /// It is so many times worse than the best.
    Worse { times: f64 },
}

/// The part of each model, and why some have none. `judged` says which folds count: the fold that is being judged must not.
/// Without any model that said something all are silent.
pub(crate) fn weights(
    folds: &[Fold],
    models: usize,
    judged: impl Fn(usize) -> bool,
) -> Vec<Result<f64, LeftOut>> {
    // Error of each model in each fold, and beside it the mean error of all models that spoke there: models that were silent in the hard
    // folds must not look better for it.
    let mut own = vec![0.0; models];
    let mut all = vec![0.0; models];
    let mut spoke = vec![0_usize; models];
    let mut count = 0;
    for (_, fold) in folds.iter().enumerate().filter(|(at, _)| judged(*at)) {
        count += 1;
        let errors: Vec<Option<f64>> = fold
            .ahead
            .iter()
            .map(|ahead| ahead.as_ref().map(|ahead| mean_error(ahead, &fold.actual) / fold.scale))
            .collect();
        let present: Vec<f64> = errors.iter().flatten().copied().collect();
        let mean = present.iter().sum::<f64>() / present.len().max(1) as f64;
        for (model, error) in errors.iter().enumerate() {
            if let Some(error) = error {
                own[model] += error;
                all[model] += mean;
                spoke[model] += 1;
            }
        }
    }
    let scores: Vec<Option<f64>> = (0..models)
        .map(|model| {
            let enough = spoke[model] > 0 && spoke[model] as f64 >= SHARE_MIN * f64::from(count);
            // A history that every model foresees exactly leaves nothing to divide by.
            enough.then(|| if all[model] > 0.0 { (own[model] / all[model]).max(1e-6) } else { 1.0 })
        })
        .collect();
    let best = scores.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let parts: Vec<Result<f64, LeftOut>> = scores
        .iter()
        .zip(&spoke)
        .map(|(score, spoke)| match score {
            None => Err(LeftOut::Silent { folds: *spoke }),
            Some(score) if *score > WORSE_MAX * best => Err(LeftOut::Worse { times: score / best }),
            Some(score) => Ok((best / score).powi(2)),
        })
        .collect();
    let total: f64 = parts.iter().flatten().sum();
    parts.into_iter().map(|part| part.map(|part| part / total)).collect()
}

/// The weighted mean of the models that spoke; none if none with a weight did.
pub(crate) fn combine(ahead: &[Option<Vec<f64>>], weights: &[Result<f64, LeftOut>]) -> Option<Vec<f64>> {
    let parts: Vec<(f64, &Vec<f64>)> = ahead
        .iter()
        .zip(weights)
        .filter_map(|(ahead, weight)| Some(((*weight).ok()?, ahead.as_ref()?)))
        .collect();
    let total: f64 = parts.iter().map(|part| part.0).sum();
    let len = parts.first()?.1.len();
    Some(
        (0..len).map(|step| parts.iter().map(|(weight, ahead)| weight / total * ahead[step]).sum()).collect(),
    )
}

fn mean_error(ahead: &[f64], actual: &[Option<f64>]) -> f64 {
    let errors: Vec<f64> = ahead
        .iter()
        .zip(actual)
        .filter_map(|(ahead, actual)| actual.map(|actual| (actual - ahead).abs()))
        .collect();
    errors.iter().sum::<f64>() / errors.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(said: &[Option<f64>]) -> Fold {
        let ahead = said.iter().map(|value| value.map(|value| vec![value, value])).collect();
        Fold { origin: 10, actual: vec![Some(10.0), None], ahead, scale: 1.0, level: 1.0 }
    }

    #[test]
    fn a_model_that_errs_twice_as_much_is_left_out_and_one_that_errs_a_little_more_weighs_less() {
        let folds = [fold(&[Some(11.0), Some(8.8), Some(12.0)]), fold(&[Some(9.0), Some(11.2), Some(8.0)])];
        let weights = weights(&folds, 3, |_| true);
        let (a, b) = (weights[0].unwrap(), weights[1].unwrap());
        assert!((a + b - 1.0).abs() < 1e-12 && (a / b - 1.44).abs() < 1e-9, "{weights:?}");
        assert!(matches!(weights[2], Err(LeftOut::Worse { times }) if (times - 2.0).abs() < 1e-9));
    }

    #[test]
    fn a_model_that_was_silent_where_it_was_hard_does_not_look_better_for_it() {
        let folds = [fold(&[Some(10.5), Some(10.5)]), fold(&[Some(15.0), None])];
        let weights = weights(&folds, 2, |_| true);
        assert!((weights[0].unwrap() - weights[1].unwrap()).abs() < 1e-9, "{weights:?}");
        let rarely = [fold(&[Some(11.0), None]), fold(&[Some(11.0), None]), fold(&[Some(11.0), Some(10.0)])];
        assert_eq!(super::weights(&rarely, 2, |_| true)[1], Err(LeftOut::Silent { folds: 1 }));
    }

    #[test]
    fn models_that_are_always_right_share_alike() {
        let weights = weights(&[fold(&[Some(10.0), Some(10.0)])], 2, |_| true);
        assert_eq!(weights, vec![Ok(0.5), Ok(0.5)]);
    }
}
