/** Files become pictures that can be sent. What the server reads, it gets as it is. */

const TYPES = {
  'image/png': true, 'image/jpeg': true, 'image/gif': true, 'image/bmp': true, 'image/webp': true,
  'image/tiff': true,
};
const BY_SUFFIX = { tif: 'image/tiff', tiff: 'image/tiff', bmp: 'image/bmp' };

/** Beyond this a picture is made smaller here: the server takes 20 MB in one request, as Base64. */
const MOST_BYTES = 4_000_000;
/** The model looks at a few hundred pixels a side; this leaves plenty. */
const SMALLER_SIDE = 1600;

/** @param {File} file */
export function typeOf(file) {
  const suffix = file.name?.split('.').pop()?.toLowerCase() ?? '';
  return TYPES[file.type] ? file.type : (BY_SUFFIX[suffix] ?? '');
}

/**
 * @param {File | Blob} file
 * @param {string} name
 * @returns {Promise<{name: string, url: string}>}
 * @throws {Error} with a sentence for the user
 */
export async function toPicture(file, name) {
  const type = typeOf(file);
  if (!type) {
    throw new Error(`${name} is not a picture that can be read: PNG, JPEG, GIF, BMP, WebP or TIFF.`);
  }
  if (file.size === 0) {
    throw new Error(`${name} is empty.`);
  }
  const blob = file.size > MOST_BYTES ? await smaller(file, name) : file;
  return { name, url: await dataUri(blob, blob === file ? type : blob.type) };
}

async function smaller(file, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'none' });
  } catch {
    throw new Error(`${name} is larger than 4 MB, and the browser cannot read it to make it smaller.`);
  }
  const scale = Math.min(1, SMALLER_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.92));
}

function dataUri(blob, type) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(`data:${type};base64,${reader.result.split(',')[1]}`);
    reader.onerror = () => failed(new Error('The picture cannot be read.'));
    reader.readAsDataURL(blob);
  });
}

/** The pictures among what was dropped or pasted. @param {DataTransfer | null} transfer */
export function filesOf(transfer) {
  return [...(transfer?.files ?? [])];
}

/** An <img> of a picture; formats that browsers do not show get a plain tile with the name. */
export function thumbnail(picture, alt) {
  const image = document.createElement('img');
  image.alt = alt;
  image.src = picture.url;
  image.addEventListener('error', () => {
    const tile = document.createElement('span');
    tile.className = 'no-preview';
    tile.textContent = picture.name;
    image.replaceWith(tile);
  });
  return image;
}
