//! BW-07xx: configuration and environment. From BW-0720 on: the command `bellwether`.

use super::codes;

codes! { ENVIRONMENT:
    CONFIG_INVALID = "BW-0701", "the reconciler's configuration cannot be used",
        "The file is missing, is not YAML, has a field that does not exist, or lacks one that has no default.",
        "Mend the place that the message names; repository and introduction are all that is needed.";
    USAGE = "BW-0720", "the command was used wrongly",
        "An option is missing, excludes another, or has a value that it cannot have.",
        "See the command's --help; it has examples.";
    UNKNOWN_CODE = "BW-0721", "there is no such code",
        "Codes have the form BW-0123; this release knows none with these digits.",
        "List all codes: bellwether explain.";
    FILE_ACCESS = "BW-0722", "a file cannot be read or written",
        "The file is missing, or permissions or space do not allow it.",
        "Mend what the message names.";
    NOT_A_REPOSITORY = "BW-0723", "this is not a working copy of a fleet's repository",
        "The command edits or reads manifests, and the folder lies in no git working copy.",
        "Change into the working copy, or name it with --repo. A new one: bellwether init DIR.";
    GIT_FAILED = "BW-0724", "git's files cannot be used",
        "An object, reference, index or setting of the working copy cannot be read or written.",
        "Mend what the message names; git fsck and git status say more.";
    NO_SIGNING_KEY = "BW-0725", "no signing key is configured",
        "Only signed commits count, and neither --key nor git's configuration (gpg.format, user.signingkey) names a key.",
        "ssh-keygen -t ed25519 -f ~/.ssh/fleet, then pass --key ~/.ssh/fleet (or: git config gpg.format ssh; git config user.signingkey ~/.ssh/fleet).";
    KEY_UNUSABLE = "BW-0726", "the signing key cannot be used",
        "The file is no private key, or git, which signs with everything but Ed25519 and ECDSA keys in files, could not sign with it.",
        "Make one: ssh-keygen -t ed25519 -f ~/.ssh/fleet, and pass --key ~/.ssh/fleet.";
    KEY_ENCRYPTED = "BW-0727", "the signing key has a passphrase",
        "The command takes no secrets from arguments, and nobody is there whom ssh-keygen could ask: no terminal and no SSH agent.",
        "Run it in a terminal, add the key to an agent (ssh-add), or write the passphrase into a file that only you can read, and set BELLWETHER_KEY_PASSPHRASE_FILE to its path.";
    NO_IDENTITY = "BW-0728", "name and e-mail for commits are not known",
        "A commit names its author, and git's user.name and user.email are not set.",
        "git config --global user.name \"Your Name\" && git config --global user.email you@example.com, or pass --author \"Your Name <you@example.com>\".";
    UNCOMMITTED = "BW-0729", "a file has changes that are not committed",
        "The commit would sign more than the change that was asked for.",
        "Commit or undo those changes first (git diff HEAD), or run the command without --commit.";
    HEAD_MOVED = "BW-0730", "the branch moved in the meantime",
        "Another program committed while this commit was being made; nothing was lost.",
        "Run the command again.";
    NOT_EMPTY = "BW-0731", "the folder is not empty",
        "A new repository, demo or key folder needs a place of its own; nothing is ever overwritten.",
        "Name a folder that does not exist yet.";
    LAYOUT = "BW-0732", "the layout of a file is not understood",
        "The command edits text so that comments stay, and does not recognise where to put the new lines.",
        "Write the list in block style, one item a line, or make the edit by hand.";
    NO_SUCH_OBJECT = "BW-0733", "there is no such object",
        "Neither the working copy nor the server has a fleet, device, wave, enrollment or commit of that name.",
        "List what there is: bellwether get fleets, or look into the folder.";
    ALREADY_THERE = "BW-0734", "a manifest of that name is there already",
        "The command never overwrites a decision.",
        "Choose another name with --name, or remove the file by a commit.";
    SERVER_UNREACHABLE = "BW-0735", "the server does not answer",
        "No connection could be made to the page's address, or it was not trusted.",
        "Check --server (the address of the listener page) and --ca; the reconciler prints its addresses when it starts.";
    SERVER_ANSWER = "BW-0736", "the server's answer is not understood",
        "The address belongs to something else, or to another release of the reconciler.",
        "Check --server: it is the address of the reconciler's page, such as http://127.0.0.1:8080.";
    DEMO_FAILED = "BW-0737", "a part of the demo failed",
        "A program that the demo started ended early or did not come up in time.",
        "Read its log in the demo's folder (logs/), mend what it says, and start the demo again.";
    NOT_UP_TO_DATE = "BW-0738", "not every device is up to date",
        "The time ran out before every device ran its target; each device's reason is shown.",
        "Read the reasons: bellwether why DEVICE.";
    GIT_BUSY = "BW-0739", "another git operation is under way",
        "A merge, rebase, cherry-pick or the like is not finished, or another git command holds the index: a commit made now would get in its way.",
        "Finish or abort it, as git status says, and run the command again.";
    SELECTOR_INVALID = "BW-0740", "a selector cannot be read",
        "Labels are chosen as in Kubernetes: site=kiel,ring!=canary,env in (a,b),env notin (c),has,!has. Fields: status.summary.status=ConflictPaused,fleet!=edge, with =, == and !=.",
        "Mend the character that the message names; put the whole selector into quotes for the shell.";
    NOT_PAUSED = "BW-0741", "none of the chosen devices is paused by what a Resume can be over",
        "A Resume ends pauses. The devices that were chosen take part, or wait for something else.",
        "See who is paused: bellwether get devices --field-selector status.summary.status=ConflictPaused";
    NOT_FORMATTED = "BW-0742", "manifests are not in the layout of bellwether fmt",
        "Their indentation, spaces, blank lines or quotes are others than those that bellwether fmt writes. What they say is not in question.",
        "Bring them into it, and commit that: bellwether fmt.";
    NOTHING_TO_SIMULATE = "BW-0760", "there is nothing to simulate",
        "Both commits give the fleet the same target, or it has no devices: then nothing rolls out.",
        "Name two landings between which the fleet changes (--from, --to), or ask for the next change, whatever it is: --next.";
    SIMULATION_UNFINISHED = "BW-0761", "in the simulation the rollout does not end",
        "Nothing failed too often, and yet the rollout was not complete at the horizon, or nothing could happen any more: windows that never open, a wave without devices, too few healthy devices. A gate and a Hold wait for people, which is no finding.",
        "Read what it waits for. If it is only slow, look further: --horizon 365d.";
    SIMULATION_HALTED = "BW-0762", "in the simulation the rollout halts, and nothing was assumed to fail",
        "No failure, no device that is off and no outage was asked for, so it halts by what is committed: specs that cannot be rendered, or a deviceTimeout that is shorter than applying takes.",
        "Read what failed in which wave. How long applying takes is assumed, too: --apply-time 10m.";
}
