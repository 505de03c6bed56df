/** A picture from the camera: live where the browser allows it, else through the system's own camera. */
export class Camera {
  #dialog = document.getElementById('camera-dialog');
  #view = document.getElementById('camera-view');
  #stream = null;

  /** @param {(file: File) => void} onPicture @param {() => void} onFallback */
  constructor(onPicture, onFallback) {
    this.onFallback = onFallback;
    document.getElementById('camera-cancel').addEventListener('click', () => this.#dialog.close());
    document.getElementById('camera-shoot').addEventListener('click', async () => {
      const file = await this.#shoot();
      this.#dialog.close();
      onPicture(file);
    });
    this.#dialog.addEventListener('close', () => this.#end());
  }

  async open() {
    if (!navigator.mediaDevices?.getUserMedia) {
      this.onFallback();
      return;
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
    } catch {
      this.onFallback();
      return;
    }
    this.#view.srcObject = this.#stream;
    this.#dialog.showModal();
    await this.#view.play();
  }

  #shoot() {
    const canvas = document.createElement('canvas');
    canvas.width = this.#view.videoWidth;
    canvas.height = this.#view.videoHeight;
    canvas.getContext('2d').drawImage(this.#view, 0, 0);
    return new Promise((done) =>
      canvas.toBlob((blob) => done(new File([blob], 'camera.jpg', { type: 'image/jpeg' })), 'image/jpeg', 0.95));
  }

  #end() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#view.srcObject = null;
  }
}
