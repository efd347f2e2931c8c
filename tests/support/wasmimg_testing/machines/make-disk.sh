#!/bin/bash
# make-disk.sh ROOT DIR: DIR gets what a virtual machine boots from, made of a Debian root: disk.ext4,
# vmlinuz, initrd, and the keys of ssh: `key` lets in, `known_hosts` knows the machine as `vm`.
# Run it in a mount namespace of its own: what it mounts is not taken away. ROOT stays as it is.
set -euo pipefail
root=$1 out=$2
tree=$out/tree

mkdir -p "$out/upper" "$out/work" "$tree"
mount -t overlay -o "lowerdir=$root,upperdir=$out/upper,workdir=$out/work" machine "$tree"

# The kernel brings nothing along that is needed before the disk is there but these.
install -d "$tree/etc/initramfs-tools/conf.d"
printf '%s\n' MODULES=list COMPRESS=gzip > "$tree/etc/initramfs-tools/conf.d/machine"
printf '%s\n' virtio_pci virtio_blk ext4 >> "$tree/etc/initramfs-tools/modules"
mount -t proc proc "$tree/proc"
version=$(cd "$tree/lib/modules" && echo *)
in_tree() { chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
in_tree mkinitramfs -o /boot/ours "$version"
cp "$tree/boot/ours" "$out/initrd"
cp "$tree/boot/vmlinuz-$version" "$out/vmlinuz"

rm -f "$tree/usr/sbin/policy-rc.d" "$tree/etc/machine-id"
echo uninitialized > "$tree/etc/machine-id"
echo machine > "$tree/etc/hostname"
printf '127.0.0.1 localhost machine\n' > "$tree/etc/hosts"
cat > "$tree/etc/fstab" << 'END'
/dev/vda / ext4 rw 0 1
/dev/vdb /mnt ext4 ro 0 0
wasmimg /opt/wasmimg overlay ro,lowerdir=/mnt/opt/wasmimg:/opt/wasmimg,x-systemd.requires-mounts-for=/mnt 0 0
END
printf '%s\n' '[Match]' 'Name=eth0' '[Network]' 'Address=10.0.2.15/24' 'LinkLocalAddressing=no' \
  'IPv6AcceptRA=no' > "$tree/etc/systemd/network/eth0.network"
install -d -m 700 "$tree/root/.ssh" "$tree/etc/docker"
echo '{"features": {"containerd-snapshotter": true}}' > "$tree/etc/docker/daemon.json"
printf '%s\n' 'UsePAM no' 'UseDNS no' 'MaxSessions 100' 'PermitRootLogin prohibit-password' \
  > "$tree/etc/ssh/sshd_config.d/machine.conf"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$out/key"
install -m 600 "$out/key.pub" "$tree/root/.ssh/authorized_keys"
rm -f "$tree"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C '' -f "$tree/etc/ssh/ssh_host_ed25519_key"
printf 'vm %s\n' "$(cat "$tree/etc/ssh/ssh_host_ed25519_key.pub")" > "$out/known_hosts"
in_tree systemctl --quiet enable systemd-networkd ssh docker containerd
in_tree systemctl --quiet disable systemd-networkd-wait-online.service
in_tree systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer getty@tty1.service serial-getty@ttyS0.service
in_tree systemctl --quiet set-default multi-user.target

umount "$tree/proc"
truncate -s 4G "$out/disk.ext4"
mke2fs -q -F -t ext4 -d "$tree" "$out/disk.ext4"
umount "$tree"
rm -rf "$out/upper" "$out/work" "$tree"
