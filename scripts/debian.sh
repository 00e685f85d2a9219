# Sourced by scripts that enter a Debian beside this one, as root. `debian SUITE FOLDER` installs one there, if there is none.
# shellcheck shell=bash
if ((EUID != 0)); then
    echo "${0##*/}: run as root, it enters another root directory" >&2
    exit 1
fi
# In a mount namespace of its own, so that nothing stays mounted.
[[ -n ${MOUNTS_ALONE:-} ]] || MOUNTS_ALONE=1 exec unshare --mount "$BASH" "scripts/${0##*/}" "$@"

debian() {
    [[ ! -e $2/etc/debian_version ]] || return 0
    command -v debootstrap >/dev/null || { echo "${0##*/}: install debootstrap" >&2; exit 1; }
    echo "${0##*/}: installing Debian $1 in $2" >&2
    local mirror
    # shellcheck disable=SC2016 # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u | head -n 1)
    debootstrap --variant=minbase "$1" "$2" "$mirror" >&2
}
