//! Currencies by their codes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The codes of ISO 4217 that a price can be in, sorted.
const CODES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF \
     CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR \
     ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU \
     MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD \
     SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF \
     YER ZAR ZMW ZWG";

/// A currency: three upper-case letters of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// The text is no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen:?} is not a currency; give three letters of ISO 4217, such as \"EUR\"")]
pub struct CurrencyError {
    /// Start of the text.
    pub seen: String,
}

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");

    /// A currency that is known to be one, such as those that symbols stand for. The letters are not looked up.
    pub const fn known(code: [u8; 3]) -> Self {
        Self(code)
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        // Only known codes get in, and those are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether its unit has a thousand parts, so that three digits after a point are no thousands.
    pub fn has_three_decimals(self) -> bool {
        matches!(&self.0, b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND")
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().as_bytes() {
            &[a, b, c] if CODES.split(' ').any(|code| code.as_bytes() == [a, b, c]) => Ok(Self([a, b, c])),
            _ => Err(CurrencyError { seen: text.chars().take(16).collect() }),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_in_either_case_and_nothing_else_are_currencies() {
        assert!(CODES.split_whitespace().is_sorted());
        assert_eq!("eur".parse(), Ok(Currency::EUR));
        for bad in ["", "EU", "EURO", "XXX", "€", "E R", "éur"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad:?}");
        }
        assert_eq!(serde_json::to_string(&Currency::EUR).unwrap(), "\"EUR\"");
        assert!(serde_json::from_str::<Currency>("\"EURO\"").is_err());
    }
}
