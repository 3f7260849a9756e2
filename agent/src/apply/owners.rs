//! Users and groups by name.

use bellwether_schemas::spec::SpecFile;

use super::ApplyError;

/// The numbers of a file's owner and group; `None` is the agent's own.
pub(super) fn resolve(file: &SpecFile) -> Result<(Option<u32>, Option<u32>), ApplyError> {
    if file.owner.is_none() && file.group.is_none() {
        return Ok((None, None));
    }
    let fail = |why: String| ApplyError::Owner { path: file.path.to_string(), why };
    if !rustix::process::geteuid().is_root() {
        return Err(fail("owner and group can only be set by an agent that runs as root".to_owned()));
    }
    let find = |name: &Option<String>, database: &str| match name {
        None => Ok(None),
        Some(name) => {
            let text = std::fs::read_to_string(database).map_err(|e| fail(format!("cannot read {database}: {e}")))?;
            lookup(&text, name).map(Some).ok_or_else(|| fail(format!("{database} has no {name:?}")))
        }
    };
    Ok((find(&file.owner, "/etc/passwd")?, find(&file.group, "/etc/group")?))
}

/// Both databases have the number in the third field.
fn lookup(database: &str, name: &str) -> Option<u32> {
    database.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_whole() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/:/x\nbroken:x\n";
        assert_eq!((lookup(passwd, "www"), lookup(passwd, "ww"), lookup(passwd, "broken")), (Some(33), None, None));
    }
}
