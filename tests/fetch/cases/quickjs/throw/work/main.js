console.log("before");
throw new TypeError("not caught");
