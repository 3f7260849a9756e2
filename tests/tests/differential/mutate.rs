//! What is done to a signed commit. Some mutations change what was signed; others sign again what git would not write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_key::HashAlg;

use super::signers::Signer;

/// A fixed sequence of numbers (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).expect("64 bits");
        usize::try_from(self.next() % limit).expect("below a usize")
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

/// A commit and its signature, apart.
pub(crate) struct Signed<'s> {
    /// What is signed.
    pub(crate) payload: Vec<u8>,
    /// The signature.
    pub(crate) armoured: String,
    /// Who signed.
    pub(crate) signer: &'s Signer,
}

impl<'s> Signed<'s> {
    pub(crate) fn new(payload: Vec<u8>, signer: &'s Signer) -> Self {
        let armoured = signer.sign(&payload).trim_end().to_owned();
        Self { payload, armoured, signer }
    }

    /// The commit as git writes it.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.raw_with(&self.armoured)
    }

    fn raw_with(&self, armoured: &str) -> Vec<u8> {
        insert_at(&self.payload, self.end_of_headers(), header("gpgsig", armoured).as_bytes())
    }

    fn end_of_headers(&self) -> usize {
        self.payload.windows(2).position(|pair| pair == b"\n\n").map_or(self.payload.len(), |at| at + 1)
    }

    fn text(&self) -> String {
        String::from_utf8(self.payload.clone()).expect("commits are text until they are mutated")
    }

    /// Another payload, signed again by the same key.
    fn again(&self, payload: impl Into<Vec<u8>>) -> Vec<u8> {
        Self::new(payload.into(), self.signer).raw()
    }
}

fn header(name: &str, armoured: &str) -> String {
    format!("{name} {}\n", armoured.replace('\n', "\n "))
}

fn insert_at(raw: &[u8], at: usize, text: &[u8]) -> Vec<u8> {
    [&raw[..at], text, &raw[at..]].concat()
}

fn lines(raw: &[u8]) -> Vec<Vec<u8>> {
    raw.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// A mutation, of a commit and of another by the next signer; `None` where it does not apply.
type Mutation = fn(&mut Numbers, &Signed<'_>, &Signed<'_>) -> Option<Vec<u8>>;

/// The mutations by name. `signed …` signs again what it changed.
pub(crate) const MUTATIONS: &[(&str, Mutation)] = &[
    ("nothing", |_, it, _| Some(it.raw())),
    ("flip a byte", |n, it, _| {
        let mut raw = it.raw();
        let at = n.below(raw.len());
        raw[at] ^= n.byte().max(1);
        Some(raw)
    }),
    ("flip a byte of the headers", |n, it, _| {
        let mut raw = it.raw();
        let at = n.below(it.end_of_headers());
        raw[at] ^= 1 << n.below(8);
        Some(raw)
    }),
    ("flip a byte of the armour", |n, it, _| {
        let mut raw = it.raw();
        let at = it.end_of_headers() + n.below(it.armoured.len() + 16);
        raw[at] ^= 1 << n.below(8);
        Some(raw)
    }),
    ("flip a byte in the signature", |n, it, _| {
        let mut bytes = blob(&it.armoured)?;
        let at = n.below(bytes.len());
        bytes[at] ^= 1 << n.below(8);
        Some(it.raw_with(&armour(&bytes)))
    }),
    ("drop a line", |n, it, _| {
        let mut lines = lines(&it.raw());
        lines.remove(n.below(lines.len()));
        Some(lines.concat())
    }),
    ("repeat a line", |n, it, _| {
        let mut lines = lines(&it.raw());
        let line = lines[n.below(lines.len())].clone();
        lines.insert(n.below(lines.len()), line);
        Some(lines.concat())
    }),
    ("swap two lines", |n, it, _| {
        let mut lines = lines(&it.raw());
        let (a, b) = (n.below(lines.len()), n.below(lines.len()));
        lines.swap(a, b);
        Some(lines.concat())
    }),
    ("insert a header", |n, it, _| {
        let mut lines = lines(&it.raw());
        let line = n.of(&[
            "odd header\n",
            "encoding latin1\n",
            "author A <a@b> 1 +0000\n",
            "gpgsig \n",
            "gpgsig-sha256 x\n",
            " x\n",
            "\tx\n",
            "\n",
        ]);
        lines.insert(n.below(7), line.into());
        Some(lines.concat())
    }),
    ("insert a NUL", |n, it, _| {
        let raw = it.raw();
        Some(insert_at(&raw, n.below(raw.len()), b"\0"))
    }),
    ("insert bytes", |n, it, _| {
        let raw = it.raw();
        let text = n.of(&["x", " ", "\n", "\r", "\n ", "\n\n", "\t", "\u{feff}", "="]);
        Some(insert_at(&raw, n.below(raw.len()), text.as_bytes()))
    }),
    ("cut or add at the end", |n, it, _| {
        let mut raw = it.raw();
        match n.below(3) {
            0 => raw.truncate(raw.len() - 1 - n.below(40)),
            1 => raw.push(b'\n'),
            _ => raw.extend(b"trailing"),
        }
        Some(raw)
    }),
    ("the signature of another commit", |_, it, other| Some(it.raw_with(&other.armoured))),
    ("two signatures", |n, it, other| {
        let (mine, theirs) = (header("gpgsig", &it.armoured), header("gpgsig", &other.armoured));
        let both = match n.below(4) {
            0 => [mine.as_str(), &mine],
            1 => [mine.as_str(), &theirs],
            2 => [theirs.as_str(), &mine],
            _ => [mine.as_str(), "gpgsig x\n"],
        };
        Some(insert_at(&it.payload, it.end_of_headers(), both.concat().as_bytes()))
    }),
    ("a signature for SHA-256", |n, it, other| {
        let (mine, theirs) = (header("gpgsig", &it.armoured), header("gpgsig-sha256", &other.armoured));
        let alone = header("gpgsig-sha256", &it.armoured);
        let headers = match n.below(3) {
            0 => alone,
            1 => mine + &theirs,
            _ => theirs + &mine,
        };
        Some(insert_at(&it.payload, it.end_of_headers(), headers.as_bytes()))
    }),
    ("the signature elsewhere", |n, it, _| {
        let mut lines = lines(&it.payload);
        lines.insert(n.below(lines.len() + 1), header("gpgsig", &it.armoured).into_bytes());
        Some(lines.concat())
    }),
    ("the signature folded otherwise", |n, it, _| {
        let header = header("gpgsig", &it.armoured);
        let odd = match n.below(6) {
            0 => header.replace("\n ", "\n  "),
            1 => header.replace("\n ", "\n\t"),
            2 => header.replacen("gpgsig ", "gpgsig \n ", 1),
            3 => header.replacen("\n ", "\n \n ", 1),
            4 => header + " \n",
            _ => header + " more\n",
        };
        Some(insert_at(&it.payload, it.end_of_headers(), odd.as_bytes()))
    }),
    ("other line endings", |n, it, _| {
        let crlf = |text: &str| text.replace('\n', "\r\n");
        Some(match n.below(3) {
            0 => it.raw_with(&crlf(&it.armoured)),
            1 => crlf(&String::from_utf8(it.raw()).expect("text")).into_bytes(),
            _ => it.raw_with(&it.armoured.replace('\n', " \n")),
        })
    }),
    ("the armour written otherwise", |n, it, _| Some(it.raw_with(&odd_armour(n, &it.armoured)?))),
    ("a blob written otherwise", |n, it, other| {
        let bytes = blob(&it.armoured)?;
        let odd = match n.below(6) {
            0 => [bytes.as_slice(), b"\0"].concat(),
            1 => bytes[..bytes.len() - 1 - n.below(8)].to_vec(),
            2 => replaced(&bytes, b"\0\0\0\x03git\0\0\0\0", b"\0\0\0\x03git\0\0\0\x01x"),
            3 => replaced(&bytes, b"sha512", b"sha256"),
            4 => replaced(&bytes, b"\0\0\0\x03git", b"\0\0\0\x04file"),
            _ => {
                // The key of another signer, before the signature of this one.
                let theirs = blob(&other.armoured)?;
                let end = |bytes: &[u8]| Some(14 + usize::from(*bytes.get(12)?) * 256 + usize::from(*bytes.get(13)?));
                [theirs.get(..end(&theirs)?)?, bytes.get(end(&bytes)?..)?].concat()
            }
        };
        Some(it.raw_with(&armour(&odd)))
    }),
    ("signed for something else", |n, it, _| {
        let (namespace, hash) = match n.below(4) {
            0 => ("git", HashAlg::Sha256),
            1 => ("file", HashAlg::Sha512),
            2 => ("Git", HashAlg::Sha512),
            _ => ("git.", HashAlg::Sha256),
        };
        Some(it.raw_with(it.signer.sign_for(namespace, hash, &it.payload)?.trim_end()))
    }),
    ("signed with headers that git writes", |n, it, _| {
        let line = n.of(&["encoding latin1\n", "mergetag object 1\n type commit\n", "change-id kkmwmvlrnxsp\n"]);
        Some(it.again(insert_at(&it.payload, it.end_of_headers(), line.as_bytes())))
    }),
    ("signed with an unknown header", |n, it, _| {
        let line = n.of(&["odd header\n", "HG:extra x\n", "Encoding latin1\n", "gpgsig2 x\n", "-----BEGIN x\n"]);
        let at = if n.below(2) == 0 { it.end_of_headers() } else { 46 };
        Some(it.again(insert_at(&it.payload, at, line.as_bytes())))
    }),
    ("signed with a header twice", |n, it, _| {
        let mut lines = lines(&it.payload);
        let at = n.below(4);
        lines.insert(at, lines[at].clone());
        Some(it.again(lines.concat()))
    }),
    ("signed with headers in another order", |n, it, _| {
        let mut lines = lines(&it.payload);
        lines.swap(n.below(4), 2 + n.below(2));
        Some(it.again(lines.concat()))
    }),
    ("signed with a NUL", |n, it, _| {
        let after = it.end_of_headers() + 1;
        let at = if n.below(3) == 0 { after - 2 } else { after + n.below(it.payload.len() - after) };
        Some(it.again(insert_at(&it.payload, at, b"\0")))
    }),
    ("signed with an odd date or name", |n, it, _| {
        let text = it.text();
        let from = text.find("<somebody").expect("the author");
        let to = text[from..].find('\n').expect("a line") + from;
        let odd = n.of(&[
            "<a@b> -1 +0000",
            "<a@b> 1 0000",
            "<a@b>",
            "<a@b> 99999999999999999999 +0000",
            "<a <b> 1 +0000",
            "a@b 1 +0000",
            "<a@b> 1 +000000",
            "<a@b> 01 +0000",
        ]);
        let (from, to) = if n.below(2) == 0 {
            (from, to)
        } else {
            let from = text.rfind("<somebody").expect("the committer");
            (from, text[from..].find('\n').expect("a line") + from)
        };
        Some(it.again(format!("{}{odd}{}", &text[..from], &text[to..])))
    }),
    ("signed with a folded header", |n, it, _| {
        let mut lines = lines(&it.payload);
        lines.insert(1 + n.below(4), b" more\n".to_vec());
        Some(it.again(lines.concat()))
    }),
    ("signed with ids in capitals", |n, it, _| {
        let mut payload = it.payload.clone();
        let from = if n.below(2) == 0 { 5 } else { 53 };
        payload[from..from + 40].make_ascii_uppercase();
        Some(it.again(payload))
    }),
    ("signed with another tree or parent", |n, it, _| {
        let mut payload = it.payload.clone();
        let at = if n.below(2) == 0 { 5 } else { 53 } + n.below(40);
        payload[at] = if payload[at] == b'0' { b'1' } else { b'0' };
        Some(it.again(payload))
    }),
    ("signed with other line endings", |n, it, _| {
        let text = it.text();
        let end = it.end_of_headers();
        Some(match n.below(2) {
            0 => it.again(text.replace('\n', "\r\n")),
            _ => it.again(format!("{}{}", &text[..end], text[end..].replace('\n', "\r\n"))),
        })
    }),
    ("signed without message", |n, it, _| {
        let end = it.end_of_headers();
        Some(it.again(&it.payload[..end + n.below(2)]))
    }),
];

/// The bytes in an SSH signature's armour.
fn blob(armoured: &str) -> Option<Vec<u8>> {
    let inner = armoured.strip_prefix("-----BEGIN SSH SIGNATURE-----")?.strip_suffix("-----END SSH SIGNATURE-----")?;
    STANDARD.decode(inner.replace('\n', "")).ok()
}

fn armour(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----", lines.join("\n"))
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

fn odd_armour(n: &mut Numbers, armoured: &str) -> Option<String> {
    let (first, rest) = armoured.split_once('\n')?;
    let (inner, last) = rest.rsplit_once('\n')?;
    let base64 = inner.replace('\n', "");
    Some(match n.below(12) {
        0 => format!("{first}\n{base64}\n{last}"),
        1 => format!("{first}\n{}\n{last}", inner.replace('\n', "\n\n")),
        2 => format!("{first}\n{inner}{last}"),
        3 => format!("{first}{inner}\n{last}"),
        4 => format!("text before\n{armoured}"),
        5 => format!("{armoured}\ntext after"),
        6 => format!("{armoured}\n{armoured}"),
        7 => format!("{first}\nComment: x\n{inner}\n{last}"),
        8 => format!("{first}\n{}\n{last}", inner.trim_end_matches('=')),
        9 => format!("{first}\n{inner}=\n{last}"),
        // The last character before the padding may have bits that say nothing.
        10 => {
            let at = base64.trim_end_matches('=').len() - 1;
            let digit = if base64.as_bytes()[at] == b'Z' { "b" } else { "Z" };
            format!("{first}\n{}{digit}{}\n{last}", &base64[..at], &base64[at + 1..])
        }
        _ => format!("{first}\n{} {}\n{last}", &inner[..9], &inner[9..]),
    })
}
