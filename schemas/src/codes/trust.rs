//! BW-02xx: git and trust.

use super::codes;

codes! { TRUST:
    OBJECT_MISSING = "BW-0201", "an object of the history is missing",
        "The clone is shallow or incomplete, or the git server has lost an object. History that cannot be read cannot be verified.",
        "Run git fsck on the server, push the missing objects, and do not use a shallow clone as the source.";
    OBJECT_DAMAGED = "BW-0202", "an object of the history is damaged",
        "An object does not have the hash that its name says, is of another kind, or cannot be read.",
        "Run git fsck on the server; restore the object from another clone.";
    COMMIT_MALFORMED = "BW-0203", "a commit is not written as git writes it",
        "Only commits with one tree, one author, one committer, at most one signature and known headers are taken, so that every program reads the same from them.",
        "Make the commit again with git, and sign it.";
    COMMIT_UNSIGNED = "BW-0204", "a landing has no signature",
        "Each commit on the first-parent line must be signed by a person of the policy. Squash and rebase buttons make commits that nobody signed.",
        "Sign it before it is pushed: git commit --amend --no-edit -S. If the server has it, leave it out: git switch --detach ACCEPTED && git merge -s ours --no-ff -S -m Repair BRANCH && git push origin HEAD:BRANCH. Turn squash and rebase buttons off.";
    SIGNATURE_UNSUPPORTED = "BW-0205", "a signature or key is of a kind that does not count",
        "Supported are SSH and OpenPGP signatures by Ed25519, ECDSA P-256 or P-384, and RSA of 3072 to 4096 bits, all with SHA-2; SSH keys on FIDO tokens (sk-ssh-ed25519, sk-ecdsa-sha2-nistp256); and gitsign.",
        "Sign with such a key, for example: git config gpg.format ssh, git config user.signingKey KEY.pub; and list it in trust/policy.yaml.";
    SIGNATURE_INVALID = "BW-0206", "a signature does not verify",
        "The signature was made for other content or another purpose, or it was altered.",
        "Sign the commit again: git commit --amend --no-edit -S.";
    SIGNER_UNKNOWN = "BW-0207", "the signer is nobody in the policy",
        "The key that signed the landing belongs to no person of the policy at its first parent.",
        "Let a person of that policy sign the landing, or let them add the key in a landing before it.";
    SIGNER_IS_BOT = "BW-0208", "a bot has signed a landing",
        "People with bot: true may write and never count as signers.",
        "Let a person sign: they commit the bot's change under their own signature.";
    PATH_WITHOUT_RULE = "BW-0209", "no rule of the policy covers a changed path",
        "A path that no rule matches is denied to everyone.",
        "Add a rule for the path to trust/policy.yaml in a landing before this one, or move the file.";
    SIGNER_NOT_IN_ROLE = "BW-0210", "the signer may not change a path",
        "Every rule that matches a changed path must hold, and nobody who counts for the path is in the role of one of them.",
        "Let a member of the role endorse the branch (bellwether trust endorse), land it or sign the landing, or split it by who may change what. bellwether trust explain COMMIT shows who counts.";
    TREE_ENTRY = "BW-0211", "a tree holds an entry whose name is not taken",
        "Names that are no UTF-8, longer than 255 bytes, hold a separator, or control or invisible characters can mean something else on another system.",
        "Rename the file.";
    TREE_MALFORMED = "BW-0212", "a tree is not written as git writes it",
        "Entries must be sorted, unique and complete, so that every program reads the same from them.",
        "Make the commit again with git.";
    TREE_TOO_LARGE = "BW-0213", "a tree is too large or too deep",
        "At most 1,000,000 entries, 64 folders in depth, 4,096 bytes a path and 64 MiB of changed paths are read. An entry with a long name counts once for each 64 bytes.",
        "Keep large or generated contents out of the repository.";
    NO_MANIFESTS = "BW-0214", "a landing has no manifest at all",
        "An empty tree would otherwise mean: remove everything everywhere.",
        "Restore the manifests: git revert the landing, and sign the revert.";
    EVERY_FLEET_LOST = "BW-0215", "a landing loses every fleet",
        "Its first parent had manifests in fleets/ and it has none, which is more often an accident than a wish.",
        "Keep at least one fleet; devices that leave a fleet keep what they run, until another one selects them or they are decommissioned.";
    POLICY_MISSING = "BW-0216", "the trust policy is missing",
        "trust/policy.yaml must be a file in every landing; it can be changed, never deleted.",
        "Restore trust/policy.yaml from the landing before.";
    POLICY_INVALID = "BW-0217", "the trust policy is not valid",
        "It does not parse, names a person or role that it does not have, lists a key twice, or has a glob that cannot be obeyed.",
        "Correct trust/policy.yaml as the message says.";
    POLICY_BRANCH = "BW-0218", "the trust policy is for another branch",
        "A policy counts only on the branch that it names, so that what is signed for staging is worth nothing on main.",
        "Set branch in trust/policy.yaml to the branch that the reconciler watches, or correct the reconciler's branch.";
    POLICY_VERSION = "BW-0219", "the trust policy changed without a higher version",
        "Every change of trust/policy.yaml raises its version, so that older and newer policies can be told apart.",
        "Raise version in trust/policy.yaml.";
    POLICY_LOCKOUT = "BW-0220", "the trust policy locks everybody out",
        "Nobody who counts could sign a change of trust/policy.yaml: a rule for trust/** needs a role with a person who has a key and is no bot.",
        "Keep a rule for trust/** whose role has such a person.";
    POLICY_EXPIRED = "BW-0221", "the trust policy has expired",
        "The policy in the newest landing is past its expires, so new landings wait. What was accepted stays accepted.",
        "Land a policy with a later expires and a higher version.";
    INTRODUCTION_MISMATCH = "BW-0222", "the introduction does not match the repository",
        "The SHA-256 of trust/policy.yaml at the pinned commit is not the one in the reconciler's configuration.",
        "Compare both with someone who knows the repository: git show COMMIT:trust/policy.yaml | sha256sum.";
    INTRODUCTION_OFF_BRANCH = "BW-0223", "the branch does not contain the introduction",
        "The first-parent line of the watched branch does not lead to the pinned commit.",
        "Check repository, branch and introduction in the reconciler's configuration.";
    HEAD_OFF_LINE = "BW-0224", "the accepted head is not on the first-parent line",
        "The branch reaches the accepted head only through a merge's other parent, so what was accepted would become a side line.",
        "Merge the other way round (the accepted head is the first parent), or rebase, and push.";
    TOO_MANY_LANDINGS = "BW-0225", "the branch has more new commits than are judged in one go",
        "Between the branch's tip and what is accepted lie more than 100,000 landings, or more than 1,000,000 commits. A large one counts once for each 4 KiB, and beside a landing once for each parent. Everybody who may push could make that many, so none is judged.",
        "If they are meant, push them in parts, or pin a newer introduction; otherwise set the branch back.";
    COMMIT_NUL = "BW-0226", "a commit holds a NUL byte",
        "Some programs stop reading there, so they would see another commit than the one that was signed.",
        "Make the commit again with git, and sign it.";
    COMMIT_HEADER_TWICE = "BW-0227", "a header of a commit is there twice",
        "One tree, one author, one committer and one of every other header but parent and mergetag: of two, each program could take another.",
        "Make the commit again with git, and sign it.";
    COMMIT_HEADER_MISPLACED = "BW-0228", "a header of a commit is not where git writes it",
        "The order is tree, parents, author, committer, then the rest. Programs that read in another order would see another commit.",
        "Make the commit again with git, and sign it.";
    COMMIT_HEADER_UNKNOWN = "BW-0229", "a commit has a header that is not known",
        "Nobody can say what an unknown header means to another program. Known are encoding, mergetag, change-id and the signature.",
        "Make the commit again without the tool that writes this header, and sign it.";
    COMMIT_TWO_SIGNATURES = "BW-0230", "a commit has more than one signature",
        "Programs differ in which of several signatures they check.",
        "Sign the commit again: git commit --amend --no-edit -S.";
    TREE_SYMLINK = "BW-0231", "a tree holds a symbolic link",
        "What a link means depends on the machine that follows it.",
        "Replace the link by the file that it points to.";
    TREE_SUBMODULE = "BW-0232", "a tree holds a submodule",
        "What a submodule holds is not in this history, so its signatures say nothing about it.",
        "Copy the contents into the repository.";
    TREE_MODE = "BW-0233", "a tree holds an entry with an odd mode",
        "Files have mode 100644 or 100755, folders 40000.",
        "Make the commit again with a current git.";
    TREE_NAME = "BW-0234", "a tree holds a name that is special",
        "Names such as .., .git in any case, or what a file system takes for them, would reach outside the repository where it is checked out.",
        "Rename the file.";
    TREE_COLLISION = "BW-0235", "two paths of a tree collide",
        "They differ only in upper and lower case, or in how an accent is written: many file systems hold one of them only.",
        "Rename one of the two.";
    NOT_ENOUGH_SIGNERS = "BW-0236", "too few people stand for a changed path",
        "The rule asks for several distinct people of its role. The landing's signer counts and, in a clean merge, who wrote the landed content on the branch and who endorsed it.",
        "Let another person of the role endorse the branch (bellwether trust endorse) or merge it (bellwether land BRANCH).";
    MERGE_UNCLEAN = "BW-0237", "an unclean merge is signed by nobody",
        "A merge without a person's signature counts only if each path comes unchanged from the only side that changed it; whoever decides otherwise must sign for it.",
        "Merge the branch into yours first and resolve there, or merge on your machine and sign: bellwether land BRANCH, or git merge --no-ff -S BRANCH.";
    OBJECT_TOO_LARGE = "BW-0238", "an object of the history is too large",
        "A commit may have 1 MiB, a tree 16 MiB and a blob 64 MiB. A fetch takes in nothing of more than 128 MiB, in whatever commit.",
        "Keep large contents out of the repository: artifacts are fetched from a URL.";
    SHA1_COLLISION = "BW-0239", "an object shows a SHA-1 collision attack",
        "Its bytes carry the marks of an attack that makes two contents with the same id.",
        "Find out who made the object. Do not keep it; a repository with SHA-256 ids is not open to this.";
    SIGSTORE_ROOT = "BW-0240", "the Sigstore trusted root cannot be used",
        "A policy with gitsign identities pins the SHA-256 of trust/sigstore-root.json as sigstoreRoot; the file is missing, another one, or no trusted root.",
        "Put the trusted root at trust/sigstore-root.json, set sigstoreRoot to its SHA-256, and raise the policy's version.";
    SIGNATURE_REVOKED = "BW-0241", "a signature was made by a revoked key",
        "The policy's copy of the OpenPGP certificate says that the key, or the subkey that signed, is revoked.",
        "Sign with a key that is not revoked, and list that in trust/policy.yaml.";
    FROZEN = "BW-0242", "nobody has signed anything for longer than the policy allows",
        "The newest signed commit is older than maxSilence. The git server may be keeping new commits back, or nobody has worked.",
        "Compare the branch with a clone of somebody who pushed. If nothing is kept back, sign a heartbeat: git commit --allow-empty -S -m Heartbeat on the branch itself, and push. Through a merge button an empty branch says nothing: there, endorse or sign a branch that changes a path, or land one with bellwether land.";
    REWOUND = "BW-0243", "the accepted head is missing from the branch",
        "The branch verifies but does not contain what was accepted: a force-push, or a git server restored from a backup. Nothing is offered meanwhile.",
        "Push the missing commits back. If they are to be given up: land a policy with abandons: ACCEPTED-HEAD and a higher version, signed as the abandoned policy's rules for trust/** ask.";
    RESET_REFUSED = "BW-0244", "a signed reset does not count",
        "A policy on the branch abandons the accepted head, but its version is not above that head's, or those who signed do not satisfy that head's rules for trust/policy.yaml.",
        "Let as many people as the abandoned policy asks sign or endorse the landing that sets abandons, with a version above the abandoned one.";
    OBJECT_KIND = "BW-0245", "an object of the history is of another kind than it should be",
        "A commit names something as its tree that is no tree, or a tree something as a file that is no blob.",
        "Make the commit again with git.";
    SQUASH_OR_REBASE = "BW-0247", "commits look as a squash or rebase button makes them",
        "They have one parent and are signed by nobody of the policy before them, so the verifier refuses the branch at the first of them. Squash and rebase buttons make such commits; so does committing without -S.",
        "Turn squash and rebase off on the hosting service. Commits that are not pushed can be signed: git rebase --exec 'git commit --amend --no-edit -S' COMMIT.";
    KEY_EXPIRES = "BW-0248", "an OpenPGP key of the policy ends by its own date",
        "The certificate in the policy says until when its signing keys are valid. That date decides nothing here, but gpg does not sign with a key that has expired.",
        "Set a later date with gpg --quick-set-expire, export the key again, and land the new copy: bellwether trust add PERSON --openpgp FILE. Or sign with another key.";
    USER_PRESENCE = "BW-0251", "a security token signed without a touch",
        "A key on a FIDO token counts only if somebody touched the token for the signature; otherwise malware could sign while it is plugged in.",
        "Make the key without -O no-touch-required, list it in trust/policy.yaml, and sign the commit again.";
    SIGNATURE_NOT_CANONICAL = "BW-0252", "a signature is not written as its signer writes it",
        "Its armour or encoding differs from the only form that is taken, or holds something that nobody signed: who serves the history could otherwise make another commit id of the same signed content.",
        "Sign the commit again: git commit --amend --no-edit -S. For OpenPGP, take comment and emit-version out of gpg.conf.";
    LOG_ENTRY = "BW-0253", "a gitsign signature is not proven by a transparency log",
        "The signing certificate is valid for minutes, and only the log says when it was used. The signature must carry its Rekor entry with the inclusion proof and the signed time, under the keys of trust/sigstore-root.json.",
        "Let gitsign embed the entry: git config gitsign.rekorMode offline; then sign the commit again: git commit --amend --no-edit -S.";
    REPOSITORY_HASH = "BW-0260", "the repository names its objects by another hash than before",
        "A repository has SHA-1 or SHA-256 ids for as long as it lives, and the mirror has a history by the other of the two: another repository is at this address.",
        "Find out who replaced it. If it was you: remove the mirror's directory, and set the new introduction in the configuration.";
    WEBHOOK_OFF = "BW-0261", "the webhook is not set up",
        "The configuration names no file with the secret that calls are signed with.",
        "Set webhookSecretFile in reconciler.yaml to a file (mode 0600) with the secret, or poll: that works without.";
    WEBHOOK_SIGNATURE = "BW-0262", "a webhook call is not signed with the secret",
        "The signature is missing, malformed, or made with another secret or for another body.",
        "Give both sides the same secret: GitHub, Gitea and Forgejo as the hook's secret, GitLab as its signing token (whsec_…). A secret token in GitLab signs nothing.";
    WEBHOOK_SECRET = "BW-0263", "the secret of the webhook cannot be used",
        "The file is missing, not readable, readable by others, not one line, or shorter than 16 characters.",
        "Write the secret into webhookSecretFile as one line, and chmod 0600 it. No restart is needed.";
    WEBHOOK_REQUEST = "BW-0264", "a webhook call cannot be read",
        "It is not a POST, larger than 25 MiB, breaks off, or takes too long.",
        "Send the hosting service's push event to this address, and nothing else.";
    BRANCH_NO_COMMIT = "BW-0265", "the branch does not point to a commit",
        "It points to a tag, a tree or a blob; git itself never makes such a branch.",
        "Set the branch to a commit on the server, and find out who changed it.";
    KEY_LISTED = "BW-0270", "a key is in the policy already",
        "A key belongs to one person, and stands there once: two people with one key could not be told apart.",
        "Let the other person make a key of their own: ssh-keygen -t ed25519 -f ~/.ssh/fleet.";
    KEY_NOT_TAKEN = "BW-0271", "a key cannot be put into the policy",
        "It is no public key, or of a kind that does not count. The policy takes SSH public keys, armoured OpenPGP public keys and Sigstore identities.",
        "Pass the public half: --ssh-key ~/.ssh/fleet.pub, or --openpgp FILE with what gpg --armor --export KEY prints.";
    NOT_IN_POLICY = "BW-0272", "the policy has no such person, key or role",
        "The name is not in trust/policy.yaml as it is in the working copy.",
        "See what is there: bellwether trust show.";
    RULE_UNSATISFIABLE = "BW-0273", "a rule would be left with too few people",
        "A rule asks for several distinct people of its role, bots left out. With fewer, nobody could change its paths any more.",
        "Let somebody else into the role first: bellwether trust add PERSON --role ROLE.";
    NOT_ENDORSABLE = "BW-0274", "an endorsement would count for nothing",
        "An endorsement names the newest commit of a branch and is signed by a person of the policy who did not write all of it.",
        "Let another person of the role endorse: git switch BRANCH && bellwether trust endorse && git push.";
    MERGE_CONFLICT = "BW-0275", "both sides of a merge changed the same path",
        "A merge is clean only if each path comes from the only side that changed it. Whoever decides otherwise writes new content, which others would have to read again.",
        "Resolve it on the branch, where it can be read: git switch BRANCH && git merge -S MAIN, then land it again.";
    NOTHING_TO_LAND = "BW-0276", "the branch has nothing to land",
        "All its commits are in the current branch already, or it has none in common with it.",
        "Name another branch: git branch --all --no-merged.";
    NO_LANDING = "BW-0277", "the commit cannot be judged as a landing",
        "A landing's first parent is the landing before it. This commit is neither a landing nor on top of one that counts.",
        "Name a commit of the branch: git log --first-parent --oneline.";
    HEAD_RECORD_UNUSABLE = "BW-0280", "the store's record of the accepted head cannot be used",
        "head.json in the store is damaged, too large, or signed by no key of this store's roots. It is never taken as absent: without it a database that was restored could roll the head back.",
        "Restore head.json from a backup of the store that is as new as any. If there is none and the database was neither lost nor restored, remove the file: it is written again from the database, and devices present what they hold.";
    HEAD_RECORD_REFUSED = "BW-0281", "a record of the accepted head was refused",
        "The head record is damaged, too large, signed by no key of the accepted root, or older than the one that is held.",
        "If this lasts, look at what answers as the reconciler, and at head.json in its store. What is held stays.";
    HEAD_RECORD_OLDER = "BW-0282", "the store knows a newer accepted head",
        "What was to be accepted stands below the head that head.json in the store names. Another reconciler may use the same store.",
        "Run one reconciler on one store. The accepted head stays in force.";
}
