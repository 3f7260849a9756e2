//! BW-01xx: manifests.

use super::codes;

codes! { MANIFEST:
    YAML_SYNTAX = "BW-0101", "the file is not YAML",
        "The text breaks YAML's grammar, for instance by a tab, a missing quote, wrong indentation or line ends of Windows.",
        "Mend the place that is shown; YAML is indented with spaces.";
    YAML_FORBIDDEN = "BW-0102", "the file uses YAML that manifests must not use",
        "Anchors, aliases, tags, merge keys, duplicate keys, directives and several documents are refused: they let a file say something else than it seems to.",
        "Write the values out, each key once, one document a file.";
    UNKNOWN_FIELD = "BW-0103", "unknown field",
        "The kind has no field of that name; a misspelt field would otherwise be ignored.",
        "Correct the name, or remove the field.";
    MISSING_FIELD = "BW-0104", "a required field is missing",
        "The kind needs the field, and it has no default.",
        "Add the field.";
    WRONG_VALUE = "BW-0105", "a value has the wrong form",
        "The value is of another type than the field, lacks its unit, or is outside its range.",
        "Write the value as the message expects it.";
    WRONG_KIND = "BW-0106", "kind, folder and name do not fit together",
        "A manifest's kind must be that of its folder; a Fleet, Rollout, Device or Enrollment must be named as its file.",
        "Move the file, or correct kind or name.";
    NOT_SUPPORTED = "BW-0107", "not supported yet",
        "The format has this field or value, and this release does not obey it. It is refused rather than ignored.",
        "Remove it, or use a release that supports it.";
    TOO_LARGE = "BW-0108", "a manifest exceeds a limit",
        "A manifest may have 1 MiB (an Enrollment 4 MiB), a depth of 32, and a bounded number of values.",
        "Split the manifest, or move contents to files/. Of an Enrollment, delete spent tokens: that revokes nobody.";
    CONTRADICTION = "BW-0109", "fields contradict each other",
        "Exactly one of several fields must be given, a name is used twice, or values exclude each other.",
        "Keep the field that is meant.";
    DANGLING_REFERENCE = "BW-0110", "a reference names nothing",
        "The manifest names a file, fleet, wave, device or commit that the repository does not have.",
        "Add what it names, or correct the name.";
    OVERLAP = "BW-0111", "two fleets select the same device",
        "A device may be in one fleet only; while two select it, it stays as it is.",
        "Narrow a selector.";
    SELECTS_NOTHING = "BW-0112", "a selector selects nothing",
        "No known device has these labels, or the selector is empty.",
        "Correct the selector, or enroll devices with these labels.";
    WAVES = "BW-0113", "the waves do not reach every device",
        "Each wave must name devices, percentages must rise, and the last wave must reach 100 per cent.",
        "End with a wave of percent: 100.";
    TEMPLATE = "BW-0114", "a template cannot be rendered",
        "A placeholder is misspelt or names a value that the device does not have. Undefined values are errors.",
        "Define the label or variable for every device of the fleet, or correct the placeholder.";
    ARTIFACT_MISMATCH = "BW-0115", "an artifact is not what the manifest says",
        "Length or SHA-256 of the file in the repository differs from the manifest.",
        "Run sha256sum and wc -c on the file, and correct the manifest.";
    UNEXPECTED_FILE = "BW-0116", "a file is where no manifest belongs",
        "A folder of manifests contains something else than .yaml files directly in it. The reconciler does not read it; under holds/ it counts as a Hold that cannot be read, and stops every fleet.",
        "Move the file, or give it the ending .yaml.";
    TOKEN_CHANGED = "BW-0117", "an entry of an Enrollment has another token than before",
        "An entry keeps the SHA-256 that it was first listed with, since a certificate names the entry it was made with. The new token is not accepted; all else that the entry says counts.",
        "Restore the first hash, and list the new token under an id of its own: bellwether token mint.";
    OWN_TEMPLATE_UNUSED = "BW-0118", "a device with a template of its own is selected by a fleet",
        "The template in a Device manifest is for a device that no fleet selects. While a fleet selects the device, what the fleet says counts, and its own template does not.",
        "Remove spec.template from the Device, or narrow the fleet's selector or the device's labels so that none selects it.";
    OWN_FLEET_NAME = "BW-0119", "a Fleet or Rollout has the name of a device's own fleet",
        "device.<name> is the fleet of one that the template in a Device manifest makes. Its changes roll out in one wave, which no Rollout changes.",
        "Give the Fleet another name; write what a single device shall run into spec.template of its Device.";
    ADMITS_NOBODY = "BW-0120", "a limit lets no device be updated",
        "A budget with maxUnavailable: 0 or 0%, or a limit of 0%, has room for no device at any time: the rollout would wait forever.",
        "Write 1 or more, or a percentage above 0%, which has room for one device at least. To stop a fleet on purpose: bellwether hold FLEET.";
    WINDOW_NEVER_OPENS = "BW-0121", "a window never opens",
        "A window without days, or open for no time, has no moment in which applying may begin: the rollout would wait forever.",
        "Name days or leave them out for every day, and write a duration from 1m to 24h. To stop a fleet on purpose: bellwether hold FLEET.";
    TIME_ZONE_UNKNOWN = "BW-0122", "there is no such time zone",
        "A window goes by the clocks of a zone of the IANA time zone database, which is built into this release. It has no zone with exactly this name; abbreviations such as CEST are none.",
        "Write a name such as Europe/Berlin or UTC, or label:KEY for the zone that this label of each device names.";
    AFTER_CIRCLE = "BW-0123", "fleets wait for each other in a circle",
        "A Rollout's after names fleets that must have completed the same commit first. Here it leads back to the fleet itself, so none of them would ever begin.",
        "Remove one step of the circle that the message shows.";
    COMMIT_NOT_IN_HISTORY = "BW-0124", "a commit that a manifest names is not in the history",
        "An Approval, an Expedite or a pin names a commit of the branch: one of git log --first-parent. A commit of another branch counts only by the merge that brought it, and one that is not there decides nothing.",
        "Name the commit that landed (git log --first-parent), fetch what is missing, or remove the manifest.";
    NO_CANARY = "BW-0125", "a rollout has no canary",
        "The first wave takes every device that git knows in the fleet, so a bad release reaches all of them before anybody sees that it is bad.",
        "Begin with a small wave: one that selects a label such as ring=canary, or a percentage.";
    NO_SOAK = "BW-0126", "nobody watches the canary",
        "The first wave has a soak of 0s: the next wave opens as soon as the canary's probes passed once. What fails a minute later is found on every device.",
        "Write a soak that is long enough for a failure to show, such as 15m.";
    NEVER_HALTS = "BW-0127", "a rollout never halts",
        "A maxFailureRate of 100% lets every device fail: the limit is exceeded only by more than all of them.",
        "Write the share of devices whose loss you accept, such as 2%, or leave it out for the default.";
    ZONE_UNKNOWN_TO_DEVICE = "BW-0128", "a window goes by a label that does not name a time zone",
        "The window's timezone is label:KEY, and a device of the fleet has no such label, or its value is no zone of the IANA time zone database. The window never opens for that device.",
        "Give the device the label (a value cannot have a slash: write Europe.Berlin), or name one zone for all.";
    TOO_FEW_DEVICES = "BW-0129", "a wave needs more healthy devices than the fleet has",
        "A wave advances when minHealthy devices are healthy on the new target. Git knows fewer devices of the fleet than that, so the rollout would wait forever.",
        "Lower minHealthy, or enroll more devices.";
    SECRET = "BW-0130", "a secret in plain text",
        "The text has the shape of a private key, a password or an access token. Whoever can read the repository has it, also after it was deleted: git keeps what was committed.",
        "Take it out before you push, and replace it wherever it is used. Place secrets on devices when they are provisioned, and let the template name the file. If it is none, say so on its line: bellwether:not-a-secret";
    FILE_UNTRACKED = "BW-0131", "a file that a manifest names is not in git",
        "The file lies in the working copy, and nobody added it to git. Once the manifest is committed it names a file that is not there, and no device gets what the manifest says.",
        "Add the file with git add, and commit it together with the manifest.";
    FILE_STORED_OTHERWISE = "BW-0132", "git has another content than the file here",
        "Attributes such as text, eol, ident or filter, core.autocrlf, or git-lfs let git store other bytes than those that lie here. Devices get what git stores: other line ends, or the pointer in place of the file.",
        "Write PATH -text -ident -filter into .gitattributes and add the file again: git add --renormalize PATH. Large files belong to an address that the reconciler fetches from.";
    ROLLOUT_LOST = "BW-0133", "a Rollout is deleted, and its fleet is not",
        "What a Rollout says ends with its file: later changes of the fleet go by the defaults, without the waves, gates, windows and budgets that stood there.",
        "Keep the file. If the defaults are meant, leave it deleted: this is a warning.";
    MANIFEST_ELSEWHERE = "BW-0134", "a manifest lies in a folder that nobody reads",
        "Manifests are read from fleets/, rollouts/, devices/, enrollments/, approvals/, holds/, expedites/, resumes/ and trust/, directly in them and nowhere else. What lies elsewhere changes nothing on any device.",
        "Move the file into the folder of its kind. If it is kept there on purpose, leave it: this is a warning.";
}
