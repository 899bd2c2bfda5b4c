//! A point on the globe.

/// A checked pair of latitude and longitude, in degrees (WGS 84).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinates {
    latitude: f64,
    longitude: f64,
}

/// Why two numbers are no place.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinatesError {
    /// Not a number, or off the globe.
    #[error("latitude {0} is not between -90 and 90 degrees")]
    Latitude(f64),
    /// Not a number, or off the globe.
    #[error("longitude {0} is not between -180 and 180 degrees")]
    Longitude(f64),
}

impl Coordinates {
    /// Checks both numbers.
    ///
    /// # Errors
    /// [`CoordinatesError`] for what is not finite or off the globe.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, CoordinatesError> {
        // Written so that NaN, which is in no range, is refused too.
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(CoordinatesError::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(CoordinatesError::Longitude(longitude));
        }
        Ok(Self { latitude, longitude })
    }

    /// Degrees north, -90 to 90.
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east, -180 to 180.
    pub fn longitude(self) -> f64 {
        self.longitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_points_on_the_globe_are_places() {
        assert!(Coordinates::new(-90.0, 180.0).is_ok());
        assert_eq!(Coordinates::new(91.0, 0.0), Err(CoordinatesError::Latitude(91.0)));
        assert_eq!(Coordinates::new(0.0, -180.1), Err(CoordinatesError::Longitude(-180.1)));
        assert!(Coordinates::new(f64::NAN, 0.0).is_err());
        assert!(Coordinates::new(0.0, f64::INFINITY).is_err());
    }
}
