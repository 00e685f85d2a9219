#!/usr/bin/env bash
# Makes target/package/factorseg_VERSION_ARCHITECTURE.deb with cargo-deb (`cargo install cargo-deb --locked`).
#
#   scripts/package.sh            the package; BUILT=target/release packs what is built already
#   scripts/package.sh --check    ... judged by lintian, installed into a clean Debian, used there, removed without rest.
#                                 Must be root; the first run fills target/clean-debian
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
"") ;;
--check)
    # shellcheck source=debian.sh
    . scripts/debian.sh
    ;;
*) sed -n '2,/^set/s/^# \?//p' "$0" >&2; exit 2 ;;
esac
command -v cargo-deb >/dev/null || { echo "package: cargo-deb is missing: cargo install cargo-deb --locked" >&2; exit 1; }

rm -rf target/package
DESTDIR=$PWD/target/package PREFIX=/usr scripts/install.sh
cd target/package
# dpkg keeps a list of its own, and Debian's zsh looks elsewhere below /usr.
rm -r usr/share/factorseg
mv usr/share/zsh/site-functions usr/share/zsh/vendor-completions
version=$(sed -n '/^\[workspace.package\]/,/^version/s/^version = "\(.*\)"/\1/p' ../../Cargo.toml)
maintainer=$(sed -n 's/^maintainer = "\(.*\)"/\1/p' ../../pipelines/Cargo.toml)
cat >changelog <<EOF
factorseg ($version-1) unstable; urgency=medium

  * Version $version. /usr/share/doc/factorseg/changelog.gz says what is new.

 -- $maintainer  $(git log -1 --format=%aD)
EOF
gzip -9n <../../CHANGELOG.md >changelog.gz
cargo deb --quiet --no-build --locked --package factorseg-pipelines --output .
package=$(realpath factorseg_*.deb)
ls -l "$package"
[[ -n ${1:-} ]] || exit 0

# It closes no bug of Debian's, as it is not uploaded there.
lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$package"

root=$(realpath ..)/clean-debian
debian "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp "$package" "$root/factorseg.deb"
chroot "$root" bash -euo pipefail <<'EOF'
export DEBIAN_FRONTEND=noninteractive HOME=/tmp
dpkg --purge factorseg >/dev/null 2>&1
apt-get update -qq
# What it depends on stays when it goes.
apt-get install -qq -y --no-install-recommends /factorseg.deb gstreamer1.0-tools man-db >/dev/null
dpkg --purge factorseg >/dev/null
files() { find / -xdev -path /proc -prune -o -path /dev -prune -o -path /tmp -prune -o -path /var/lib/dpkg -prune -o \
    -path /var/cache -prune -o -path /var/log -prune -o -print | sort; }
files >/tmp/before
echo "== installed"
dpkg --install /factorseg.deb
dpkg --verify factorseg
gst-inspect-1.0 factorseg | sed -n 1,20p
factorseg --version
factorseg-pipeline --version
man factorseg-pipeline-live | sed -n 1,12p
gst-launch-1.0 -q videotestsrc num-buffers=3 ! video/x-raw,width=160,height=90 ! factorseg ! fakesink
test -e /usr/share/gstreamer-1.0/presets/GstFactorSeg.prs
echo "== removed"
dpkg --purge factorseg
files >/tmp/after
diff /tmp/before /tmp/after
! gst-inspect-1.0 factorseg >/dev/null 2>&1
EOF
echo "package: installed, used and removed without rest"
