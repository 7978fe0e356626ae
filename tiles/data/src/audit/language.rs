//! Whether text is in the language that it is declared to be in.

/// Fewer letters than this say too little to tell a language.
const MIN_LETTERS: usize = 60;
/// The first characters of a text are enough.
const MAX_CHARACTERS: usize = 600;

/// BCP 47 primary subtags and the ISO 639-3 codes that detection speaks, as far as it knows the
/// language.
const CODES: [(&str, &str); 70] = [
	("af", "afr"),
	("ak", "aka"),
	("am", "amh"),
	("ar", "ara"),
	("az", "aze"),
	("be", "bel"),
	("bg", "bul"),
	("bn", "ben"),
	("ca", "cat"),
	("cs", "ces"),
	("da", "dan"),
	("de", "deu"),
	("el", "ell"),
	("en", "eng"),
	("eo", "epo"),
	("es", "spa"),
	("et", "est"),
	("fa", "pes"),
	("fi", "fin"),
	("fr", "fra"),
	("gu", "guj"),
	("he", "heb"),
	("hi", "hin"),
	("hr", "hrv"),
	("hu", "hun"),
	("hy", "hye"),
	("id", "ind"),
	("it", "ita"),
	("ja", "jpn"),
	("jv", "jav"),
	("ka", "kat"),
	("km", "khm"),
	("kn", "kan"),
	("ko", "kor"),
	("la", "lat"),
	("lt", "lit"),
	("lv", "lav"),
	("mk", "mkd"),
	("ml", "mal"),
	("mr", "mar"),
	("my", "mya"),
	("nb", "nob"),
	("ne", "nep"),
	("nl", "nld"),
	("no", "nob"),
	("or", "ori"),
	("pa", "pan"),
	("pl", "pol"),
	("pt", "por"),
	("ro", "ron"),
	("ru", "rus"),
	("si", "sin"),
	("sk", "slk"),
	("sl", "slv"),
	("sn", "sna"),
	("sr", "srp"),
	("sv", "swe"),
	("ta", "tam"),
	("te", "tel"),
	("th", "tha"),
	("tk", "tuk"),
	("tl", "tgl"),
	("tr", "tur"),
	("uk", "ukr"),
	("ur", "urd"),
	("uz", "uzb"),
	("vi", "vie"),
	("yi", "yid"),
	("zh", "cmn"),
	("zu", "zul"),
];

/// What was found about one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
	/// The declared language, or one that cannot be told from it here.
	Same,
	/// Surely another language.
	Other,
	/// Too short, or the language is unknown.
	Unknown,
}

/// The code that detection has for a declared language; `None` if it does not know it, or if none
/// was declared.
pub fn code_of(tag: &str) -> Option<&'static str> {
	let primary = tag.split('-').next().unwrap_or_default();
	CODES.iter().find(|(known, _)| *known == primary).map(|(_, code)| *code)
}

/// Whether `text` is in the language of this code.
pub fn check(text: &str, code: &str) -> Verdict {
	let letters = text.chars().take(MAX_CHARACTERS).filter(|c| c.is_alphabetic()).count();
	if letters < MIN_LETTERS {
		return Verdict::Unknown;
	}
	let end = text.char_indices().nth(MAX_CHARACTERS).map_or(text.len(), |(at, _)| at);
	match text.get(..end).and_then(whatlang::detect) {
		Some(found) if found.lang().code() == code => Verdict::Same,
		// Names, tables and quotations confuse detection; only what it is sure of counts.
		Some(found) if found.is_reliable() => Verdict::Other,
		Some(_) => Verdict::Same,
		None => Verdict::Unknown,
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const ENGLISH: &str =
		"In meeting you again I feel much satisfaction in being able to repeat my \
		congratulations on the favorable prospects which continue to distinguish our public affairs.";
	const GERMAN: &str =
		"Der Vogel kämpft sich aus dem Ei. Das Ei ist die Welt. Wer geboren werden \
		will, muss eine Welt zerstören. Wir saßen noch lange beieinander und schwiegen dabei, \
		während draußen der Schnee über die Dächer fiel und niemand mehr auf den Straßen zu \
		hören war. Am nächsten Morgen gingen wir früh aus dem Haus, weil wir den Zug nicht \
		verpassen wollten, der uns zurück in die Stadt bringen sollte.";

	#[test]
	fn languages_are_told_apart() {
		assert_eq!(check(ENGLISH, "eng"), Verdict::Same);
		assert_eq!(check(GERMAN, "deu"), Verdict::Same);
		assert_eq!(check(GERMAN, "eng"), Verdict::Other);
		assert_eq!(check("Ja.", "eng"), Verdict::Unknown);
		assert_eq!(check("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18", "eng"), Verdict::Unknown);
	}

	#[test]
	fn tags_may_name_regions() {
		assert_eq!(code_of("en"), Some("eng"));
		assert_eq!(code_of("pt-BR"), Some("por"));
		assert_eq!(code_of("und"), None);
		assert_eq!(code_of("tlh"), None);
	}

	#[test]
	fn codes_are_those_of_detection() {
		for (_, code) in CODES {
			assert!(whatlang::Lang::from_code(code).is_some(), "{code}");
		}
	}
}
